"""The state of the runs and sweeps below some folders while they run: what is done, how far the
rest is, and the verdict so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.rules import examine
from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, verdict_text
from jepa_lab.ledger.parquet import history_of, read_metrics
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.ledger.sweep_folder import read_records
from jepa_lab.report.comparison.find_runs import find_runs

WAITING = ("to do", "to resume")


@dataclass(frozen=True)
class LiveRun:
    """A run, or a job of a sweep that has no run yet.

    `progress` is a share of its epochs, `left_s` an estimate of the seconds until its end. Both are
    None where they are not known. `verdict` is that of a finished run, and of a running one the
    verdict on its metrics so far.
    """

    name: str
    state: str
    verdict: str = ""
    progress: float | None = None
    left_s: float | None = None


@dataclass(frozen=True)
class Live:
    """All runs, the counts of their states, and an estimate of the seconds until the last of them
    ends, None if it is not known."""

    runs: list[LiveRun]
    counts: Mapping[str, int]
    left_s: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data."""
        return {**asdict(self), "time": datetime.now(UTC).isoformat(timespec="seconds")}


def live(folders: Sequence[Path], now: datetime | None = None) -> Live:
    """Returns the state of all runs and jobs below the folders. Folders without a run are empty."""
    now = now or datetime.now(UTC)
    found: list[Run] = []
    for folder in folders:
        try:
            found += find_runs(folder).runs
        except UserError:  # no run in it yet
            continue
    runs = {run.path: run for run in found}
    rows = [_of_run(run, now) for run in runs.values()]
    rows += _without_run(folders, {str(run.status.get("run_id")) for run in found})
    seconds = [float(s) for run in found if (s := run.summary.get("wall_s"))]
    counts = dict(Counter(row.state for row in rows))
    return Live(rows, counts, _left(rows, counts, seconds))


def _of_run(run: Run, now: datetime) -> LiveRun:
    name = f"{run.path.parent.name}/{run.path.name}"
    state = state_of(run.status)
    if state != "running":
        return LiveRun(
            name, state, verdict_text(run.summary) or str(run.status.get("reason") or "")
        )
    try:
        table = read_metrics(run.path)
    except UserError:  # nothing was measured yet, or it is a study with a table of its own
        return LiveRun(name, state)
    epochs = value_of(run.config, "dataset.epochs")
    done = max(table["epoch"].to_pylist(), default=0)
    progress = min(done / epochs, 1.0) if isinstance(epochs, int) and epochs else None
    left = None
    if progress:
        elapsed = (now - datetime.fromisoformat(run.status["started"])).total_seconds()
        left = max(elapsed, 0.0) * (1 - progress) / progress
    verdict = examine(history_of(table), config=run.config).verdict
    return LiveRun(name, state, f"so far {verdict.line()}", progress, left)


def _without_run(folders: Sequence[Path], known: set[str]) -> list[LiveRun]:
    """Returns the jobs of the sweeps below the folders whose runs do not exist yet."""
    rows = []
    for folder in folders:
        for jobs in sorted(folder.glob("sweeps/*/jobs")):
            for record in read_records(jobs.parent):
                if str(record.run_id) not in known:
                    words = " ".join(record.words)
                    rows.append(LiveRun(words, record.state, record.reason or ""))
    return rows


def _left(
    rows: Sequence[LiveRun], counts: Mapping[str, int], seconds: Sequence[float]
) -> float | None:
    """Returns the seconds that are left: those of the running runs and of the waiting jobs, which
    take as long as the median of the completed ones, divided by the number that runs at a time."""
    waiting = sum(counts.get(state, 0) for state in WAITING)
    running = [row.left_s for row in rows if row.state == "running"]
    if any(left is None for left in running) or (waiting and not seconds):
        return None
    if not running and not waiting:
        return 0.0
    total = sum(left for left in running if left is not None)
    return (total + waiting * (median(seconds) if seconds else 0.0)) / max(len(running), 1)
