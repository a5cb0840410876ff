"""Access to nested mappings, such as a config.yaml, by dotted keys. Imports nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of all values that are not mappings, in order."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of all values that are neither mappings nor lists, as (a.b[0], 1)
    of {a: {b: [1]}}."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from leaves(value, f"{key}.{name}" if key else f"{name}")
    elif isinstance(node, list | tuple):
        for at, value in enumerate(node):
            yield from leaves(value, f"{key}[{at}]")
    else:
        yield key, node


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a dotted key, or None if it is missing."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
