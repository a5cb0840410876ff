"""The keys that a user gave for a run or a sweep: on the command line, and in YAML files of their
own, but not in those of conf/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from jepa_lab.config.groups import AUX_FOLDER
from jepa_lab.config.tree import flatten, leaves
from jepa_lab.files.text import parse_yaml, read_text
from jepa_lab.ledger.command_line import key_of

OWN = ("command-line", "hydra.searchpath in")  # start of the providers of a user's folders
SWEPT = "hydra.sweeper.params."  # keys of a sweep that an experiment defines
# an interpolation up to its first nested one: its dots, if it is relative, and its path
REFERENCE = re.compile(r"\$\{(\.*)([\w.:,]+)")


def given_keys(hydra: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """Returns {key: "key=value"} of the keys that the user gave. A value is written as given, such
    as 0,1 for a sweep.

    `hydra` is the node of a composed job, and `overrides` are those of the command line.
    """
    given = {key: f"{key}={_written(value)}" for key, value in _of_own_files(hydra)}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        line = str(override.input_line)
        value = None if override.is_delete() else override.value()
        key = key_of(line).replace("/", ".")
        if isinstance(value, dict):
            for name, inner in flatten(value, f"{key}."):
                given[name] = f"{name}={_written(inner)}"
        elif not override.is_delete():
            given[key] = f"{key}={line.partition('=')[2]}"
    return given


def references(cfg: DictConfig) -> set[str]:
    """Returns the keys that interpolations of a composed configuration read. Keys that contain
    another interpolation are left out."""
    found = set()
    for place, value in leaves(OmegaConf.to_container(cfg, resolve=False)):
        for dots, path in REFERENCE.findall(value) if isinstance(value, str) else ():
            above = place.split(".")[: -len(dots)] if dots else []
            found |= {".".join([*above, key]) for key in re.split("[:,]", path)}
    return {key for key in found if key and not key.endswith(".")}


def _of_own_files(hydra: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yields (key, value) of the user's files from which Hydra composed a job."""
    sources = hydra.runtime.config_sources
    own = [(s.schema, Path(s.path)) for s in sources if str(s.provider).startswith(OWN) and s.path]
    if not own:
        return
    loader = GlobalHydra.instance().config_loader()
    overrides = [*hydra.overrides.hydra, *hydra.overrides.task]
    found = loader.compute_defaults_list(hydra.job.config_name, overrides, RunMode.RUN)
    ours = [(s.schema, Path(s.path)) for s in sources if s.provider == "main" and s.path]
    for part in found.defaults:
        name = str(part.config_path)
        if any(_file(*source, name).is_file() for source in ours):
            continue  # Hydra takes the first
        file = next((f for source in own if (f := _file(*source, name)).is_file()), None)
        content = parse_yaml(read_text(file)) if file is not None else None
        if isinstance(content, dict):
            content.pop("defaults", None)
            for key, value in flatten(content, f"{part.package}." if part.package else ""):
                yield key.removeprefix(SWEPT), value


def _file(schema: str, folder: Path, name: str) -> Path:
    """Returns the file of an option in a folder of the search path."""
    group, _, option = name.partition("/")
    inside = f"{AUX_FOLDER}/{option}" if schema == AUX_FOLDER and group == "aux" else name
    return folder / f"{inside}.yaml"


def _written(value: Any) -> str:
    """Returns a value as it is typed on the command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
