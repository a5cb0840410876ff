"""Checks of values. Each raises ValueError with the key, the value and the allowed values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jepa_lab.config.tree import leaves

# the name of a file or folder that is no path, no hidden file and no option of a command
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


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


def in_64_bits(config: Any) -> None:
    """Raises ValueError for the first whole number in mappings and lists that needs more than 64
    bits."""
    for key, value in leaves(config):
        if not isinstance(value, int) or -(2**63) <= value < 2**63:
            continue
        digits = str(value)
        shown = digits if len(digits) <= 40 else f"{digits[:10]}... ({len(digits)} digits)"
        raise ValueError(f"{key}={shown}: must be {'below 2^63' if value > 0 else 'above -2^63'}")


def nested(key: str, value: Any, names: Sequence[str]) -> None:
    """Raises ValueError unless the value is a mapping of mappings, one for each name, with texts or
    numbers in the innermost. None stands for an empty mapping."""
    if value is None and names:
        return
    if isinstance(value, Mapping if not names else str | int | float | list):
        form = " -> ".join([*names, "text"]) if names else "a text"
        raise ValueError(f"{key}={value}: expected {form}")
    for name, inner in value.items() if names else ():
        nested(f"{key}.{name}", inner, names[1:])


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


def plain_name(key: str, value: str) -> None:
    """Raises ValueError unless the value can name a folder: letters, digits and . _ - only."""
    if not PLAIN_NAME.fullmatch(value):
        shown = value if len(value) <= 100 else f"{value[:40]}... ({len(value)} characters)"
        raise ValueError(
            f"{key}={shown!r}: names a folder: letters (a-z, A-Z), digits and . _ - only, not first"
            " a dot or a dash, and at most 100 characters"
        )
