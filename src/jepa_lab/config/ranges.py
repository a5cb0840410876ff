"""What a value may be. Each raises ValueError with the key, the value and what would be right."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def one_of(key: str, value: Any, allowed: Iterable[Any]) -> None:
    """The value is among the allowed ones."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{key}={value}: expected one of {', '.join(map(str, allowed))}")


def at_least(key: str, value: float | None, low: float, exclusive: bool = False) -> None:
    """A finite value not below (or, exclusive, above) `low`; None passes."""
    if value is not None and not (
        math.isfinite(value) and (value > low if exclusive else value >= low)
    ):
        raise ValueError(f"{key}={value}: must be {'above' if exclusive else 'at least'} {low:g}")


def within(key: str, value: float | None, low: float, high: float) -> None:
    """A value in [low, high]; None passes."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"{key}={value}: must lie between {low:g} and {high:g}")


def ordered_pair(key: str, value: list[Any] | None) -> None:
    """[lowest, highest], finite; None passes."""
    if value is not None and not (
        len(value) == 2 and all(map(math.isfinite, value)) and value[0] <= value[1]
    ):
        raise ValueError(f"{key}={value}: expected [lowest, highest]")


def unset(key: str, value: Any, reason: str) -> None:
    """The key was not given, since nothing would read it: `reason` says why."""
    if value is not None:
        raise ValueError(f"{key}={value}: {reason}")
