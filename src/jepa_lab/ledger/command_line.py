"""The command line that makes one run. A run keeps it in overrides.yaml, and suggested next
commands are built from it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from jepa_lab.config.tree import value_of
from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.ledger.read import read_if_possible

NAME = "overrides.yaml"
THREADS = "hardware.threads"
ONE_RUN = "hydra.mode=RUN"  # selects one run of an experiment that defines a sweep
SEARCH_PATH = "hydra.searchpath="
# overrides that set how a command is run, not which run it makes
AROUND = ("on_existing=", "max_wall_s=", "sweep.")


@dataclass(frozen=True)
class CommandLine:
    """The overrides of one run, and the folder given as --config-dir as an absolute path."""

    overrides: tuple[str, ...]
    config_dir: str | None = None

    def text(self, *flags: str) -> str:
        """Returns the command as typed in a shell. Flags such as -m come first."""
        folder = ["--config-dir", self.config_dir] if self.config_dir else []
        return " ".join(
            ["python -m jepa_lab", *flags, *map(shlex.quote, [*folder, *self.overrides])]
        )

    def changed(self, changes: Sequence[str]) -> CommandLine:
        """Returns the command line with the overrides of the same keys replaced. A changed group
        also drops the overrides of its keys."""
        keys = {key_of(change) for change in changes}
        groups = tuple(f"{key}." for key in keys if "." not in key)
        kept = [
            o
            for o in self.overrides
            if key_of(o) not in keys and not (groups and key_of(o).startswith(groups))
        ]
        return CommandLine((*kept, *changes), self.config_dir)

    @property
    def sweeps_by_itself(self) -> bool:
        """Whether the experiment defines a sweep, of which this is one run."""
        return ONE_RUN in self.overrides


def key_of(override: str) -> str:
    """Returns the key of an override, without the signs that add or remove it."""
    return override.partition("=")[0].lstrip("+~")


def write_command_line(folder: Path, line: CommandLine) -> None:
    """Writes overrides.yaml. Raises OSError on failure."""
    content: dict[str, object] = {"overrides": list(line.overrides)}
    if line.config_dir:
        content["config_dir"] = line.config_dir
    write_atomic(folder / NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_command_line(folder: Path) -> CommandLine | None:
    """Returns the command line that makes or resumes the run of a folder, without overrides that
    only set how a command is run.

    It has the run's number of threads also if none was typed. Their default is the number of cores
    of the machine, and the run's id depends on it. None if there is no readable overrides.yaml: the
    run was started from Python, or by a version that wrote none.
    """
    content = read_if_possible(folder / NAME)
    overrides, config_dir = content.get("overrides"), content.get("config_dir")
    if not isinstance(overrides, list) or not all(
        isinstance(override, str) for override in overrides
    ):
        return None
    kept = tuple(override for override in overrides if not _around(override))
    threads = value_of(read_if_possible(folder / "config.yaml"), THREADS)
    if isinstance(threads, int) and THREADS not in map(key_of, kept):
        kept = (*kept, f"{THREADS}={threads}")
    return CommandLine(kept, config_dir if isinstance(config_dir, str) else None)


def _around(override: str) -> bool:
    """Returns whether an override only sets how a command is run. Of Hydra's own keys, only the
    search path and ONE_RUN change which run is made. The others could name code to start."""
    if override == ONE_RUN or override.startswith(SEARCH_PATH):
        return False
    return override.lstrip("+~").startswith((*AROUND, "hydra"))
