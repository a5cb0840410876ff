"""overrides.yaml: the command line that makes one run, as it was typed. What prints "run this next" reads it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.ledger.read import read_yaml

NAME = "overrides.yaml"
ONE_RUN = "hydra.mode=RUN"  # of an experiment that is a sweep by itself: one run of it
# what says how a command is to run, not which run it makes
AROUND = (
    "on_existing=",
    "max_wall_s=",
    "sweep.",
    "hydra/",
    "hydra.launcher.",
    "hydra.sweeper.",
)  # not of the run itself


@dataclass(frozen=True)
class Overrides:
    """`words`: the overrides of one run, none of a sweep; `config_dir`: the folder given as --config-dir, absolute."""

    words: tuple[str, ...]
    config_dir: str | None = None

    def line(self, *flags: str) -> str:
        """The command line, for a shell; flags such as -m stand first."""
        folder = ["--config-dir", self.config_dir] if self.config_dir else []
        return " ".join(["python -m jepa_lab", *flags, *map(shlex.quote, [*folder, *self.words])])

    def but(self, changes: Sequence[str]) -> Overrides:
        """With overrides in the place of those of the same key; a group's own keys go with their group."""
        keys = {key_of(word) for word in changes}
        groups = tuple(f"{key}." for key in keys if "." not in key)
        kept = [w for w in self.words if key_of(w) not in keys and not (groups and key_of(w).startswith(groups))]
        return Overrides((*kept, *changes), self.config_dir)

    @property
    def sweeps_by_itself(self) -> bool:
        """Whether its experiment is a sweep, of which this is one run."""
        return ONE_RUN in self.words


def key_of(word: str) -> str:
    """The key of an override, without the signs that add or remove it."""
    return word.partition("=")[0].lstrip("+~")


def write_overrides(folder: Path, overrides: Overrides) -> None:
    """Writes the file. OSError."""
    content: dict[str, object] = {"overrides": list(overrides.words)}
    if overrides.config_dir:
        content["config_dir"] = overrides.config_dir
    write_atomic(folder / NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_overrides(folder: Path) -> Overrides | None:
    """What makes the run of this folder again, or goes on with it, without what only said how a command was to run.
    None where the folder has no such file: a run from Python, or of a version without it."""
    content = read_yaml(folder / NAME)
    words, config_dir = content.get("overrides"), content.get("config_dir")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    kept = tuple(word for word in words if not word.lstrip("+").startswith(AROUND))
    return Overrides(kept, config_dir if isinstance(config_dir, str) else None)
