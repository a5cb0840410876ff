"""Named statistics of claims: one value for each seed, from the runs of that seed alone."""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.finished_run import Run
from jepa_lab.studies import find, studies
from jepa_lab.studies.statistic import Statistic, Value, only


def gap(runs: list[Run], metric: str, less: str) -> Value:
    """Returns one metric of a run minus another metric of the same run."""
    last = only(runs).last()
    return last[metric] - last[less] if metric in last and less in last else None


def change(runs: list[Run], metric: str) -> Value:
    """Returns the last value of a metric minus its first value."""
    run = only(runs)
    points = find(run.config.get("study")).history(run.path).get(metric, [])
    return points[-1][1] - points[0][1] if len(points) > 1 else None


OF_ANY_STUDY = {
    "gap": Statistic(gap, "{metric} less {less}"),
    "change": Statistic(change, "{metric}, last less first"),
}


@cache
def statistics() -> dict[str, Statistic]:
    """Returns every statistic by its name."""
    return OF_ANY_STUDY | {
        name: one for entry in studies().values() for name, one in entry.statistics.items()
    }


def study_of(name: str) -> str | None:
    """Returns the study whose runs the statistic reads, None if it reads runs of any study."""
    return next((study for study, entry in studies().items() if name in entry.statistics), None)


def check_parameters(name: str, parameters: Mapping[str, Any], place: str) -> None:
    """Raises UserError for an unknown statistic, and for a parameter that is unknown, missing or of
    the wrong type."""
    if name not in statistics():
        others = nearest(name, statistics()) or f"; available: {', '.join(sorted(statistics()))}"
        raise UserError(f"{place}: {name}: no such statistic{others}")
    function = statistics()[name].of
    known = [p for p in inspect.signature(function).parameters.values() if p.name != "runs"]
    for key in parameters:
        if key not in [p.name for p in known]:
            raise UserError(
                f"{place}: {key}: {name} has no such parameter; {', '.join(p.name for p in known)}"
            )
    kinds = typing.get_type_hints(function)
    for parameter in known:
        if parameter.default is parameter.empty and parameter.name not in parameters:
            raise UserError(f"{place}: {parameter.name}: missing; {name} needs it")
        _check_kind(parameters[parameter.name], kinds[parameter.name], f"{place}: {parameter.name}")


def _check_kind(value: Any, kind: Any, place: str) -> None:
    """Raises UserError for a value of the wrong type for its parameter. Types are text, a choice of
    texts, a number above 0, and a list of texts."""
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            raise UserError(f"{place}: {value}: unknown; {' | '.join(typing.get_args(kind))}")
        return
    if kind is str:
        right, needed = isinstance(value, str) and value != "", "a text"
    elif kind is float:
        right, needed = _above_0(value), "a number above 0"
    else:
        right = (
            isinstance(value, list) and value != [] and all(isinstance(item, str) for item in value)
        )
        needed = "a list of texts"
    if not right:
        raise UserError(f"{place}: {value}: {needed} is needed")


def _above_0(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and 0 < float(value) < math.inf
    except (TypeError, ValueError):
        return False


def has_metric(run: Run, metric: str) -> bool:
    """Returns whether the run has measured the metric at any time."""
    entry = find(run.config.get("study"))
    return metric in run.last() or (
        (run.path / entry.table).is_file() and metric in entry.history(run.path)
    )


def measure(name: str, runs: Sequence[Run], parameters: Mapping[str, Any]) -> Value:
    """Returns the statistic of the runs of one seed, None if they do not determine it."""
    value = statistics()[name].of(list(runs), **parameters)
    return None if value is None or math.isnan(value) else value
