"""Statistic: a named figure of the runs of one seed, which a claim can be about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jepa_lab.ledger.finished_run import Run

Value = float | None  # None: not measured


@dataclass(frozen=True)
class Statistic:
    """A figure `of(runs of one seed, **parameters)`.

    description: what it is, with its parameters in braces; axes: settings in which these runs may
    differ, for the statistic reads them; logarithm: the value is a log10, so a claim's reference
    and margin are factors.
    """

    of: Callable[..., Value]
    description: str
    axes: tuple[str, ...] = ()
    logarithm: bool = False


def only(runs: list[Run]) -> Run:
    """The one run of a statistic without axes."""
    (run,) = runs
    return run
