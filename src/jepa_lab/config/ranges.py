"""Checks of values. Each raises ValueError with the key, the value and the allowed values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def one_of(key: str, value: Any, allowed: Iterable[Any]) -> None:
    """Raises ValueError unless the value is one of `allowed`."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{key}={value}: expected one of {', '.join(map(str, allowed))}")


def at_least(key: str, value: float | None, low: float, exclusive: bool = False) -> None:
    """Raises ValueError unless the value is None, or finite and at least `low` (above it if
    `exclusive`)."""
    if value is not None and not (
        math.isfinite(value) and (value > low if exclusive else value >= low)
    ):
        raise ValueError(f"{key}={value}: must be {'above' if exclusive else 'at least'} {low:g}")


def within(key: str, value: float | None, low: float, high: float) -> None:
    """Raises ValueError unless the value is None or in [low, high]."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"{key}={value}: must lie between {low:g} and {high:g}")


def ordered_pair(key: str, value: list[Any] | None) -> None:
    """Raises ValueError unless the value is None or a finite [lowest, highest]."""
    if value is not None and not (
        len(value) == 2 and all(map(math.isfinite, value)) and value[0] <= value[1]
    ):
        raise ValueError(f"{key}={value}: expected [lowest, highest]")


def unset(key: str, value: Any, reason: str) -> None:
    """Raises ValueError unless the value is None. `reason` explains why nothing would read the
    key."""
    if value is not None:
        raise ValueError(f"{key}={value}: {reason}")
