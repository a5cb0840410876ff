"""The settings in the configurations of the studies, and their defaults."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import yaml

from jepa_lab.config.groups import conf_dir, folder_of
from jepa_lab.studies import find, studies


@cache
def schema_keys() -> frozenset[str]:
    """Returns every key of every study, including groups."""
    return frozenset(key for entry in studies().values() for key in _keys(entry.config, ""))


def _keys(schema: Any, prefix: str) -> Iterator[str]:
    """Yields the keys of groups and of settings."""
    hints = typing.get_type_hints(schema)
    for one in dataclasses.fields(schema):
        yield f"{prefix}{one.name}"
        for inner in (hints[one.name], *typing.get_args(hints[one.name])):
            if dataclasses.is_dataclass(inner):
                yield from _keys(inner, f"{prefix}{one.name}.")


@cache
def aux_keys() -> dict[str, frozenset[str]]:
    """Returns {auxiliary loss of conf/: its keys}."""
    files = folder_of(conf_dir(), "aux").glob("*.yaml")
    contents = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return {name: frozenset(content) for name, content in contents.items() if content}


def default_of(study: str | None, key: str) -> Any:
    """Returns the default of a key of a study. Raises KeyError if the schema has none."""
    defaults = _defaults(study)
    if key not in defaults:
        raise KeyError(key)
    return json.loads(defaults[key])


@cache
def _defaults(study: str | None) -> dict[str, str]:
    """Returns {dotted key: default as JSON} of the keys of a study that have a default."""
    return dict(_fields(find(study).config, ""))


def _fields(schema: Any, prefix: str) -> Iterable[tuple[str, str]]:
    for one in dataclasses.fields(schema):
        made = one.default_factory() if callable(one.default_factory) else one.default
        if dataclasses.is_dataclass(made):
            yield from _fields(made, f"{prefix}{one.name}.")
        elif made is not dataclasses.MISSING and made != "???":
            yield f"{prefix}{one.name}", json.dumps(made)
