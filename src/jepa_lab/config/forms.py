"""Checks that a list is given for a list and keys for a group of keys. omegaconf would often name
neither the key nor what is expected, and takes any value that an interpolation gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from omegaconf import BooleanNode, DictConfig, ListConfig

# a number that omegaconf would take as true; 0 and 1 are written for false and true
NUMBER = re.compile(r"(?!\+?[01]$)[+-]?[0-9_.]+(e[+-]?[0-9]+)?")


def require_forms(typed: DictConfig, given: Mapping[Any, Any], above: str = "") -> None:
    """Raises ValueError for the first value of `given`, plain data, that is no list or no mapping
    where `typed`, a structured configuration, has one, or a number where it has true or false.

    Null, ??? and unknown keys are left to omegaconf, and so are interpolations, except for one that
    stands for a whole group, which it would refuse."""
    for name, value in given.items():
        node = typed._get_node(name) if name in list(typed) else None
        key = f"{above}{name}"
        if value is None or value == "???" or (_interpolates(value) and not _is_group(node)):
            continue
        if isinstance(node, ListConfig) and not isinstance(value, list):
            raise ValueError(expected_list(key))
        if isinstance(node, BooleanNode) and NUMBER.fullmatch(str(value)):
            raise ValueError(f"{key}={value}: expected true or false")
        if not isinstance(node, DictConfig):
            continue
        if not isinstance(value, Mapping):
            raise ValueError(expected_keys(key, node, value))
        if _has_content(node):
            require_forms(node, value, f"{key}.")


def expected_list(key: str) -> str:
    """Returns the line about another value for a list."""
    return f"{key}: expected a list, as in {key}=[...]"


def expected_keys(key: str, node: DictConfig, value: Any = None) -> str:
    """Returns the line about another value for a group of keys; `node` holds the keys."""
    names = [str(name) for name in node] if _has_content(node) else []
    given = key if value is None else f"{key}={value}"
    example = f"{key}.{names[0]}=..." if names else f"{key}={{name: ...}}"
    return f"{given}: one value for a group of keys; name the key, as in {example}"


def _interpolates(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _is_group(node: Any) -> bool:
    return isinstance(node, DictConfig) and is_dataclass(node._metadata.object_type)


def _has_content(node: DictConfig) -> bool:
    return not (node._is_none() or node._is_missing() or node._is_interpolation())
