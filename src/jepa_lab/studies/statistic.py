"""Statistic: a named number computed from the runs of one seed, for use in claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jepa_lab.ledger.finished_run import Run

Value = float | None  # None: not measured


@dataclass(frozen=True)
class Statistic:
    """A number `of(runs of one seed, **parameters)`. `description` explains it, with its parameters
    in braces. `axes` are the settings in which these runs may differ. With `logarithm` the value is
    a log10, and a claim's reference and margin are factors."""

    of: Callable[..., Value]
    description: str
    axes: tuple[str, ...] = ()
    logarithm: bool = False


def only(runs: list[Run]) -> Run:
    """Returns the single run of a statistic without axes."""
    (run,) = runs
    return run
