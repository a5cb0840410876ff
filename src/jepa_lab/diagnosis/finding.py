"""The result of one rule, and the form of the metrics that all rules read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Points = Sequence[tuple[int, float]]
History = Mapping[str, Points]
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The result of one rule.

    `status` is a status of SEVERITY, "healthy", or "note". A note is not a failure. `reason`
    explains the status in one sentence. `confidence` lies in [0, 1]. `tap` names the judged
    representation, or is None for the whole run. `since` is the step at which the status began, or
    None if it is unknown. `quantity` names the metric that the rule read. `next` lists changes to
    try, in the notation of `remedies`. `first` is the first step at which the status held at all,
    if that differs from `since`. `fallen` is true for a rank that fell below half of its best.
    """

    status: str
    reason: str
    confidence: float
    tap: str | None = None
    since: int | None = None
    quantity: str = ""
    next: tuple[str, ...] = ()
    first: int | None = None
    fallen: bool = False

    @property
    def began(self) -> int | None:
        """The step of the first violation."""
        return self.since if self.first is None else self.first


def last_third(points: Points, at_least: int = 3) -> Points:
    """Returns the last third of the points, but at least `at_least` of them. With fewer points it
    returns all."""
    return points[-max(at_least, len(points) // 3) :]


def rise(points: Points) -> float:
    """Returns the last value minus the first one of the last third, 0 for fewer than two points."""
    tail = last_third(points)
    return tail[-1][1] - tail[0][1] if len(tail) > 1 else 0.0


def last_stretch(points: Sequence[tuple[int, T]], holds: Callable[[T], bool]) -> int | None:
    """Returns the first step of the unbroken stretch at the end in which `holds` is true. None
    means that `holds` is false for the last point."""
    since = None
    for step, value in reversed(points):
        if not holds(value):
            break
        since = step
    return since


def finite(points: Points) -> list[tuple[int, float]]:
    """Returns the points whose value is finite."""
    return [(step, value) for step, value in points if math.isfinite(value)]


def at_least_0(points: Points) -> list[tuple[int, float]]:
    """Returns the finite points with values below 0 raised to 0. A skill or R² below 0 is no better
    than a constant, however far below, and cannot fall."""
    return [(step, max(value, 0.0)) for step, value in finite(points)]


def best_so_far(points: Points) -> float:
    """Returns the largest finite value, or -inf if there is none."""
    return max((value for _, value in finite(points)), default=-math.inf)


def fell(points: Points, by: float) -> bool:
    """Returns whether the last value lies more than `by` below the best one."""
    return (
        bool(points) and math.isfinite(points[-1][1]) and points[-1][1] < best_so_far(points) - by
    )
