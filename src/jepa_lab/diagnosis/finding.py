"""What one rule found, and the shape of the evidence that all rules read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Points = Sequence[tuple[int, float]]
History = Mapping[str, Points]


@dataclass(frozen=True)
class Finding:
    """A status of a tap (None: of the run), why, its confidence in [0, 1], the step it began (None:
    unknown), and the quantity it was read from. Of a note, which is no failure, the status is
    "note". next: changes to try, in the words of `remedies`."""

    status: str
    reason: str
    confidence: float
    tap: str | None = None
    since: int | None = None
    quantity: str = ""
    next: tuple[str, ...] = ()
    first: int | None = None  # the first step at which it held at all, where that is not `since`

    @property
    def began(self) -> int | None:
        """The step of its first violation."""
        return self.since if self.first is None else self.first


def last_third(points: Points, at_least: int = 3) -> Points:
    """The last third of the points, three at least; all if there are fewer."""
    return points[-max(at_least, len(points) // 3) :]


def last_stretch(points: Points, holds: Callable[[float], bool]) -> int | None:
    """The first step of the unbroken stretch at the end in which it holds; None if it does not at
    the end."""
    since = None
    for step, value in reversed(points):
        if not holds(value):
            break
        since = step
    return since


def finite(points: Points) -> list[tuple[int, float]]:
    """The points that are numbers."""
    return [(step, value) for step, value in points if math.isfinite(value)]


def best_so_far(points: Points) -> float:
    """The largest finite value; -inf if there is none."""
    return max((value for _, value in finite(points)), default=-math.inf)


def fell(points: Points, by: float) -> bool:
    """Whether the last value lies more than `by` below the best one."""
    return (
        bool(points) and math.isfinite(points[-1][1]) and points[-1][1] < best_so_far(points) - by
    )
