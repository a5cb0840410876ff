"""Reads the small files of a folder, which may be missing, half-written by another program, or
damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

# libyaml's loader reads ten times as fast, which matters for hundreds of runs
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_json(path: Path) -> dict[str, Any]:
    """Returns a JSON object, {} if the file is missing or damaged."""
    return _object(path) or {}


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns a YAML mapping, {} if the file is missing or damaged. Nothing in the file is
    executed."""
    return _object(path) or {}


def require_object(path: Path) -> dict[str, Any]:
    """Returns a JSON object or a YAML mapping, {} if the file is missing.

    Raises ValueError if it is damaged and OSError if it cannot be read.
    """
    if not path.exists():
        return {}
    content = _content(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is damaged")
    return content


def finite_or_null(value: Any) -> Any:
    """Returns plain data for JSON: a number that is not finite becomes None, a tuple becomes a
    list."""
    if isinstance(value, Mapping):
        return {key: finite_or_null(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_null(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _object(path: Path) -> dict[str, Any] | None:
    try:
        content = _content(path)
    except OSError:
        return None
    return content if isinstance(content, dict) else None


def _content(path: Path) -> Any:
    """Returns the parsed content of the file, None if it is damaged."""
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, LOADER) if path.suffix == ".yaml" else json.loads(text)
    except (ValueError, yaml.YAMLError):  # a decoding error is a ValueError
        return None
