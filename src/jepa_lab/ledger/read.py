"""Reads the small files of a folder, which may be missing, half-written by another program,
damaged, or made to exhaust the memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.text import parse_json, parse_yaml, read_text


def read_json(path: Path) -> dict[str, Any]:
    """Returns a JSON object, {} if the file is missing or damaged. Raises UserError for a file
    beyond the limits of jepa_lab.files."""
    return _object(path) or {}


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns a YAML mapping, {} if the file is missing or damaged. Nothing in the file is
    executed. Raises UserError for a file beyond the limits of jepa_lab.files."""
    return _object(path) or {}


def read_if_possible(path: Path) -> dict[str, Any]:
    """Returns a JSON object or a YAML mapping, {} if the file is missing, damaged or beyond the
    limits. For files beside others, of which one must not stop the work."""
    try:
        return _object(path) or {}
    except UserError:
        return {}


def require_object(path: Path) -> dict[str, Any]:
    """Returns a JSON object or a YAML mapping, {} if the file is missing.

    Raises ValueError if it is damaged or beyond the limits of jepa_lab.files, and OSError if it
    cannot be read.
    """
    if not path.exists():
        return {}
    try:
        content = _content(path)
    except OverLimit as error:
        raise ValueError(f"{path.name}: {error}") from None
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
    except OverLimit as error:
        raise UserError(f"{path}: {error}") from None
    return content if isinstance(content, dict) else None


def _content(path: Path) -> Any:
    """Returns the parsed content of the file, None if it is damaged. Raises OverLimit."""
    try:
        text = read_text(path)
        return parse_yaml(text) if path.suffix == ".yaml" else parse_json(text)
    except OverLimit:
        raise
    except (ValueError, yaml.YAMLError):  # a decoding error is a ValueError
        return None
