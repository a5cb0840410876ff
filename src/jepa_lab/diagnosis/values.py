"""A value of a configuration by its dotted key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; None if it is not there."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
