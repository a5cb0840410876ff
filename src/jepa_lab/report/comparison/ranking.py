"""Ranks arms by a declared metric: means, paired differences to a control, and conclusions."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run
from jepa_lab.report.comparison.arms import Arm, PairedRow, arms, paired_table, short_names
from jepa_lab.report.comparison.control import choose_control
from jepa_lab.report.comparison.differences import differences
from jepa_lab.report.comparison.find_runs import check_keys, value_or_none
from jepa_lab.report.comparison.metric_choice import counterpart, metrics_beside
from jepa_lab.report.comparison.statistics import bootstrap_interval
from jepa_lab.report.comparison.table import Comparison, compare_runs

LEVEL = 0.05
RunRow = dict[str, Any]


@dataclass(frozen=True)
class RankedArm:
    """An arm with its place in the ranking.

    `rank` counts from 1; equal means share a rank, and it is None without a mean. `bootstrap` is
    the interval of the difference to the control. `conclusion` is control, better, worse, no
    difference shown, not comparable (fewer than 2 shared seeds) or no result. `collapsed` is true
    if more than half of the completed runs collapsed; such arms are ranked after the others.
    `best` is the best run, chosen on validation if the metric was measured there.
    """

    name: str
    rank: int | None
    arm: Arm
    paired: PairedRow
    bootstrap: tuple[float, float] | None
    conclusion: str
    collapsed: bool
    verdicts: dict[str, int]
    best: RunRow | None


@dataclass(frozen=True)
class Ranking:
    """The arms of one group of runs, best first. `notes` explain the choice of control and runs."""

    name: str
    metric: str
    direction: str
    control: str
    arms: list[RankedArm]
    seeds: list[int]
    comparison: Comparison
    runs: dict[str, Run]  # by run_dir
    notes: list[str]
    references: list[Any] = field(default_factory=list)  # bounds.Reference: neither rank nor test
    parameters: list[str] = field(default_factory=list)  # lines on the sizes of the networks


def rank_runs(
    runs: Sequence[Run],
    metric: str,
    direction: str,
    control: str | None,
    arm_keys: Sequence[str] = (),
    name: str = "",
) -> Ranking:
    """Returns the ranking of the arms of `runs`.

    With `control` None the default control is used. `arm_keys` are the settings that define the
    arms, by default all that differ. `name` is the name of the group. Raises UserError for a
    control that is no arm, for two completed runs with the same arm and seed, and if the control
    shares no seed with another arm."""
    notes: list[str] = []
    comparison = _comparison(runs, metrics_beside(runs, metric), arm_keys)
    comparison = Comparison(comparison.columns, _without_copies(comparison.rows, runs, notes))
    unnamed = arms(comparison.rows)
    names = short_names(unnamed)
    found = [replace(arm, text=names[arm.text]) for arm in unnamed]
    _one_run_a_seed(found, runs)
    first = choose_control(found, names.get(control or "", control), runs, notes)
    values = {arm.text: arm.values(metric) for arm in found}
    _require_shared_seeds(values, first.text, metric, found)
    table = {
        names[row.arm]: replace(row, arm=names[row.arm])
        for row in paired_table(comparison, first.settings, [metric])
    }
    sign = 1 if direction == "max" else -1
    bare = [
        RankedArm(
            name=arm.text,
            rank=None,
            arm=arm,
            paired=table[arm.text],
            bootstrap=(
                None if arm is first else bootstrap_interval(values[arm.text], values[first.text])
            ),
            conclusion=_conclusion(table[arm.text], sign),
            collapsed=2 * arm.collapsed() > len(arm.completed()),
            verdicts=dict(
                Counter(str(row["verdict"] or "none").split()[0] for row in arm.completed())
            ),
            best=_best(arm, metric, sign),
        )
        for arm in found
    ]
    seeds = sorted({row["seed"] for row in comparison.rows if row["seed"] is not None})
    by_dir = {str(run.path): run for run in runs}
    return Ranking(
        name, metric, direction, first.text, _ranked(bare, sign), seeds, comparison, by_dir, notes
    )


def _comparison(runs: Sequence[Run], metrics: Sequence[str], arm_keys: Sequence[str]) -> Comparison:
    """Returns the comparison with a seed in every row, and with `arm_keys`, if any, as settings."""
    found = compare_runs(runs, metrics)
    configs = {str(run.path): run.config for run in runs}
    check_keys(runs, arm_keys, "--arm-key")
    settings = list(arm_keys) or [
        key for key in found.columns[: found.columns.index("run")] if key != "seed"
    ]
    rest = found.columns[found.columns.index("run") :]
    rows = []
    for row in found.rows:
        config = configs[row["run_dir"]]
        seed = config.get("seed")
        own = {key: value_or_none(config, key) if arm_keys else row[key] for key in settings}
        others = {
            key: value
            for key, value in row.items()
            if key not in found.columns[: found.columns.index("run")]
        }
        rows.append({**own, "seed": seed if isinstance(seed, int) else None, **others})
    return Comparison([*settings, "seed", *rest], rows)


def _without_copies(rows: Sequence[RunRow], runs: Sequence[Run], notes: list[str]) -> list[RunRow]:
    """Returns one row for each run id, since folders of runs may be copied. Completed runs are
    preferred."""
    ids = {str(run.path): run.status.get("run_id") for run in runs}
    kept: dict[Any, RunRow] = {}
    for row in sorted(rows, key=lambda row: row["state"] != "completed"):
        first = kept.setdefault(ids[row["run_dir"]] or row["run_dir"], row)
        if first is not row:
            notes.append(f"{row['run_dir']}: the same run as {first['run_dir']}; left out")
    stays = {row["run_dir"] for row in kept.values()}
    return [row for row in rows if row["run_dir"] in stays]


def _one_run_a_seed(found: Sequence[Arm], runs: Sequence[Run]) -> None:
    """Raises UserError if an arm has two completed runs of one seed. The message names the settings
    in which they differ."""
    configs = {str(run.path): run.config for run in runs}
    for arm in found:
        by_seed: dict[Any, RunRow] = {}
        for row in map(dict, arm.completed()):
            other = by_seed.setdefault(row["seed"], row)
            if other is row:
                continue
            differ = differences([configs[other["run_dir"]], configs[row["run_dir"]]])[0]
            keys = [key for key in differ if key != "seed"]
            advice = (
                f"they differ in {', '.join(keys[:4])}: add --arm-key or --group-by {keys[0]}"
                if keys
                else "leave one out"
            )
            raise UserError(
                f"arm {arm.text}: {other['run']} and {row['run']} both have seed {row['seed']};"
                f" {advice}"
            )


def _require_shared_seeds(
    values: dict[str, dict[int, float]], control: str, metric: str, found: Sequence[Arm]
) -> None:
    measured = {name: own for name, own in values.items() if any(map(math.isfinite, own.values()))}
    if not measured:
        states = Counter(row["state"] for arm in found for row in arm.rows)
        listed = ", ".join(f"{count} {state}" for state, count in states.items())
        raise UserError(f"no comparable seed: no completed run has a finite {metric} ({listed})")
    others = [name for name in measured if name != control]
    if (
        len(measured) > 1
        and control in measured
        and not any(values[name].keys() & values[control].keys() for name in others)
    ):
        own, theirs = (
            sorted(values[control]),
            sorted({seed for name in others for seed in values[name]}),
        )
        raise UserError(
            f"no comparable seed: the control {control} has {', '.join(map(str, own))}, the other"
            f" arms {', '.join(map(str, theirs))}; run both on the same seeds, or name"
            " another --control"
        )


def _conclusion(row: PairedRow, sign: int) -> str:
    if row.is_control:
        return "control"
    if row.mean.mean is None:
        return "no result"
    if row.difference is None or row.p_holm is None:
        return "not comparable"
    if row.p_holm >= LEVEL:
        return "no difference shown"
    return "better" if sign * row.difference.mean > 0 else "worse"


def _best(arm: Arm, metric: str, sign: int) -> RunRow | None:
    """Returns the best run by the metric, on validation if all runs have it there.

    Runs that did not collapse are preferred."""
    rows = [
        dict(row)
        for row in arm.completed()
        if row[metric] is not None and math.isfinite(row[metric])
    ]
    key = counterpart(metric)
    if not all(key in row and row[key] is not None and math.isfinite(row[key]) for row in rows):
        key = metric
    healthy = [row for row in rows if not Arm("", {}, [row]).collapsed()] or rows
    return max(healthy, key=lambda row: sign * float(row[key]), default=None)


def _ranked(bare: Sequence[RankedArm], sign: int) -> list[RankedArm]:
    def place(one: RankedArm) -> tuple[Any, ...]:
        mean = one.paired.mean.mean
        return (mean is None, one.collapsed, 0.0 if mean is None else -sign * mean)

    ordered = sorted(bare, key=lambda one: (*place(one), one.name))
    places = [place(one) for one in ordered]
    return [
        replace(one, rank=None if one.paired.mean.mean is None else places.index(own) + 1)
        for one, own in zip(ordered, places, strict=True)
    ]


def relative(path: Path | str, start: Path) -> str:
    """Returns `path` relative to the folder `start`, with forward slashes; the absolute path if it
    is on another drive."""
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:
        return Path(path).resolve().as_posix()
