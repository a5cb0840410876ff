"""Which classes a run's own file may name, and how that file is checked before it is used.

A configuration from a run's folder was perhaps written by someone else. It is plain data: nothing
in it is resolved, and it names no class except the options of this package. SECURITY.md says when
more is allowed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.config.groups import conf_dir, folder_of
from jepa_lab.config.tree import leaves
from jepa_lab.errors import UserError

TARGET = "_target_"


@dataclass(frozen=True)
class Trust:
    """The user-defined classes that a run's file may name.

    With `everything` (--trust) any class, else those in the Python files of `folder`
    (--config-dir), and with `loaded` those of modules that this process has imported already, such
    as the parts of the sweep that it ran.
    """

    everything: bool = False
    folder: Path | None = None
    loaded: bool = False

    def allows(self, target: Any) -> bool:
        """Returns whether the class may be imported. Imports nothing."""
        return (
            self.everything
            or target in own_classes()
            or (self.folder is not None and _lies_in(self.folder, str(target)))
            or (self.loaded and str(target).rpartition(".")[0] in sys.modules)
        )


NOBODY = Trust()


def require_plain(config: Mapping[str, Any], place: Path, trust: Trust = NOBODY) -> None:
    """Raises UserError if a configuration read from `place` names a class that is not trusted, or
    if a value is an interpolation, which could read an environment variable or make a class."""
    for key, value in leaves(config):
        if isinstance(value, str) and "${" in value:
            raise UserError(
                f"{place}: {key}={value}: an interpolation, which is not resolved in a run's file;"
                " write the value itself"
            )
    for key, target in targets(config).items():
        if trust.allows(target):
            continue
        if str(target).startswith("jepa_lab."):
            raise UserError(
                f"{place}: {key}={target}: not a class of options of jepa_lab; one of"
                f" {', '.join(sorted(own_classes()))}"
            )
        raise UserError(
            f"{place}: {key}={target} is user-defined code, which is not imported from a run's"
            " file; give its folder as --config-dir, or --trust if you trust whoever made the run"
        )


def own_code(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {key: class} of all classes that a configuration names, without the options of this
    package."""
    return {key: target for key, target in targets(config).items() if target not in own_classes()}


def targets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns {key: class} of all classes that a configuration names, at any depth."""
    found = ((key.replace("[", ".").split("."), key, value) for key, value in leaves(config))
    return {key: value for parts, key, value in found if TARGET in parts}


@cache
def own_classes() -> frozenset[str]:
    """Returns the classes of options of this package: those that the files of conf/ name."""
    files = folder_of(conf_dir(), "aux").glob("*.yaml")
    contents = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in files)
    return frozenset(content[TARGET] for content in contents if content and TARGET in content)


def _lies_in(folder: Path, target: str) -> bool:
    """Returns whether Python would import the target's module from the folder."""
    if not all(part.isidentifier() for part in target.split(".")):
        return False
    try:
        spec = find_spec(target.partition(".")[0])  # of a module without dots: runs no code
    except ValueError:
        return False
    if spec is None:
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())]
    top = folder.resolve()
    return any(place and Path(place).resolve().is_relative_to(top) for place in places)
