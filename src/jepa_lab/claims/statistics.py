"""Named statistics of a claim: one value for each seed, from the runs of that seed and nothing else."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.linear_byol import statistics as toy

Values = float | None  # None: not measured
PARTS = ("codebook", "z", "z_agg", "z_hat", "z_target", "loss", "skill", "temperature")  # of what an ARC run logs


@dataclass(frozen=True)
class Statistic:
    """`of(runs of one seed, **parameters)`. `axes`: settings in which these runs may differ, for the statistic reads
    them. `logarithm`: the value is a log10, so that a claim's reference and margin are factors. `told`: what it is,
    with its parameters in braces."""

    of: Callable[..., Values]
    told: str
    axes: tuple[str, ...] = ()
    logarithm: bool = False
    study: str | None = None  # whose runs it reads; None: of any


def gap(runs: Sequence[Run], metric: str, less: str) -> Values:
    """One metric of a run less another of the same run."""
    last = _only(runs).last()
    return last[metric] - last[less] if metric in last and less in last else None


def change(runs: Sequence[Run], metric: str) -> Values:
    """A metric at the end less the same at its first measurement, of runs of any study."""
    points = toy.curve(_only(runs), metric)
    if points is None:
        points = [value for _, value in history_of(_only(runs).path).get(metric, [])]
    return points[-1] - points[0] if len(points) > 1 else None


def first_to_fall(runs: Sequence[Run], part: str) -> Values:
    """1 where the quantity that left its range first belongs to `part` (of PARTS), else 0, also where none did; of ARC
    runs."""
    from jepa_lab.studies.arc.investigation.run_verdict import run_verdict

    run = _only(runs)
    verdict = run_verdict(history_of(run.path), "completed", config=run.config)
    return float(verdict.first is not None and part in verdict.first.quantity.split("/"))


TOY = "linear_byol"
STATISTICS: Mapping[str, Statistic] = {
    "gap": Statistic(gap, "{metric} less {less}"),
    "change": Statistic(change, "{metric}, last less first"),
    "first_to_fall": Statistic(first_to_fall, "share of runs whose {part} left its range first", study="arc"),
    "slope_of_best_rate": Statistic(
        toy.slope_of_best_rate, "slope of log best α over log τ by {metric}", toy.GRID, study=TOY
    ),
    "best_rate_over_tau": Statistic(toy.best_rate_over_tau, "best α / τ at τ = {tau} by {metric}", toy.GRID, True, TOY),
    "rank_correlation": Statistic(
        toy.rank_correlation, "rank correlation of {setting} with {metric}", toy.GRID, study=TOY
    ),
    "over_best_fixed": Statistic(
        toy.over_best_fixed,
        "worst of {metrics} over that of the best fixed rates, {rule}, c = {c}",
        toy.MODES,
        True,
        TOY,
    ),
    "edge_over_bound": Statistic(toy.edge_over_bound, "α at which runs diverge over 2 / H", toy.GRID, True, TOY),
}


def check_parameters(name: str, parameters: Mapping[str, Any], place: str) -> None:
    """UserError for a statistic that does not exist, for a parameter that it lacks, that is missing or of no use."""
    if name not in STATISTICS:
        near = difflib.get_close_matches(name, STATISTICS, 1) or sorted(STATISTICS)
        raise UserError(f"{place}: {name}: no such statistic; there is {', '.join(near)}")
    known = [p for p in inspect.signature(STATISTICS[name].of).parameters.values() if p.name != "runs"]
    for key in parameters:
        if key not in [p.name for p in known]:
            raise UserError(f"{place}: {key}: {name} has no such parameter; {', '.join(p.name for p in known)}")
    for parameter in known:
        if parameter.default is parameter.empty and parameter.name not in parameters:
            raise UserError(f"{place}: {parameter.name}: missing; {name} needs it")
        _check_kind(parameters[parameter.name], str(parameter.annotation), f"{place}: {parameter.name}")
    part = parameters.get("part", PARTS[0])
    if part not in PARTS:
        raise UserError(f"{place}: part: {part}: unknown; {' | '.join(PARTS)}")


def _check_kind(value: Any, kind: str, place: str) -> None:
    """UserError for a value that is no text, number above 0, or list of texts, as its parameter is annotated."""
    if kind == "str":
        right, needed = isinstance(value, str) and value != "", "a text"
    elif kind == "float":
        right, needed = _above_0(value), "a number above 0"
    else:
        right = isinstance(value, list) and value != [] and all(isinstance(item, str) for item in value)
        needed = "a list of texts"
    if not right:
        raise UserError(f"{place}: {value}: {needed} is needed")


def _above_0(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 < float(value) < math.inf
    except (TypeError, ValueError):
        return False


def has_metric(run: Run, metric: str) -> bool:
    """Whether the run has measured it at any time."""
    measured = metric in run.last() or toy.curve(run, metric) is not None
    return measured or ((run.path / "metrics.parquet").is_file() and metric in history_of(run.path))


def measure(name: str, runs: Sequence[Run], parameters: Mapping[str, Any]) -> Values:
    """The statistic of one seed's runs; None where they do not give it."""
    value = STATISTICS[name].of(runs, **parameters)
    return None if value is None or math.isnan(value) else value


def _only(runs: Sequence[Run]) -> Run:
    (run,) = runs  # choose() lets several pass only along the axes of a statistic
    return run
