"""Writes and reads summary.json: five numbers of every metric, the verdict, and the cost of the
run."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.run_dir import RunDir

Summary = dict[str, dict[str, float | int | None]]


def summarise(history: Mapping[str, Sequence[tuple[int, float]]]) -> Summary:
    """Returns {key: {last, min, max, min_step, max_step}} of every key that has values.

    `last` is the last value as logged, NaN included, so that a run that ended in NaN does not look
    successful. The extrema skip NaN, are None if all values are NaN, and have the first step on a
    tie.
    """
    return {key: _extrema(points) for key, points in history.items() if points}


def summary_values(summary: Mapping[str, Any]) -> dict[str, float]:
    """Returns {key: last value} of a summary.json. A value that was not finite (null there) is
    NaN."""
    metrics = summary.get("metrics") or {}
    return {
        key: math.nan if entry["last"] is None else float(entry["last"])
        for key, entry in metrics.items()
    }


def finite_values(summary: Mapping[str, Any]) -> dict[str, float]:
    """Returns {key: last value} of a summary.json without the values that were not finite."""
    return {key: value for key, value in summary_values(summary).items() if math.isfinite(value)}


def write_summary(
    run_dir: RunDir | Path,
    history: Mapping[str, Sequence[tuple[int, float]]],
    verdict: Mapping[str, Any],
    monitor: Mapping[str, Any],
    parameters: Mapping[str, Any],
    wall_s: float,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Writes RUN_DIR/summary.json and returns its path.

    `extra` adds top-level keys. Raises ValueError if it would replace one.
    """
    metrics = summarise(history)
    return write_summarised(run_dir, metrics, verdict, monitor, parameters, wall_s, extra)


def write_summarised(
    run_dir: RunDir | Path,
    metrics: Summary,
    verdict: Mapping[str, Any],
    monitor: Mapping[str, Any],
    parameters: Mapping[str, Any],
    wall_s: float,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Writes what `write_summary` does, from metrics that are summarised already."""
    summary: dict[str, Any] = {
        "metrics": metrics,
        "verdict": verdict,
        "monitor": monitor,
        "parameters": parameters,
        "wall_s": wall_s,
    }
    taken = summary.keys() & (extra or {}).keys()
    if taken:
        raise ValueError(f"extra would replace {', '.join(sorted(taken))}")
    path = (run_dir.path if isinstance(run_dir, RunDir) else Path(run_dir)) / "summary.json"
    write_json(path, {**summary, **(extra or {})})
    return path


def require_summarised(
    path: Path,
    read: Callable[[], Mapping[str, Sequence[tuple[int, float]]]],
    summary: Mapping[str, Any],
) -> None:
    """Raises UserError, with the name of the metrics file, if it is missing, if `read` cannot read
    it, or if its last values are not those of the summary."""
    restart = "on_existing=restart trains the run again"
    if not path.is_file():
        raise UserError(f"{path}: the metrics of a finished run are missing; {restart}")
    try:
        history = read()
    except UserError as error:
        raise UserError(f"{str(error).partition('; on_existing=')[0]}; {restart}") from None
    try:
        wanted = summary_values(summary)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise UserError(f"{path.with_name('summary.json')}: damaged; {restart}") from None
    for key, last in wanted.items():
        points = history.get(key)
        found = points[-1][1] if points else None
        if found != last and (found is None or math.isfinite(found) or math.isfinite(last)):
            raise UserError(f"{path}: not the metrics of summary.json ({key} differs); {restart}")


def _extrema(points: Sequence[tuple[int, float]]) -> dict[str, float | int | None]:
    steps = [step for step, _ in points]
    values = [float(value) for _, value in points]
    last = values[-1]
    numbers = [i for i, value in enumerate(values) if not math.isnan(value)]
    if not numbers:
        return {"last": last, "min": None, "max": None, "min_step": None, "max_step": None}
    low, high = min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)
    return {
        "last": last,
        "min": values[low],
        "max": values[high],
        "min_step": int(steps[low]),
        "max_step": int(steps[high]),
    }
