"""The folder of one run: the paths of its files and the run's state."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jepa_lab import RESULTS_VERSION, __version__
from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import TEMPORARY, write_atomic, write_json
from jepa_lab.ledger.commit import commit
from jepa_lab.ledger.own_files import LOCK, remove_own_files
from jepa_lab.ledger.read import read_json
from jepa_lab.process.alive import process_exists
from jepa_lab.process.disk import UNWRITABLE, cannot_write

STATES = ("running", "completed", "stopped", "failed")
# names in a run's folder at which a link would be followed; a rename replaces a link at any other
WRITTEN_IN_PLACE = ("checkpoints", "figures", ".metrics", LOCK, "run.log", "wandb", "tensorboard")


class RunDir:
    """The folder `runs_dir/experiment/run_id`. The constructor touches nothing on disk; `create`
    makes the folder."""

    def __init__(self, runs_dir: Path | str, experiment: str, run_id: str) -> None:
        self.runs_dir = Path(runs_dir)
        self.experiment = experiment
        self.run_id = run_id
        self.path = self.runs_dir / experiment / run_id
        self.checkpoints = self.path / "checkpoints"
        self.figures = self.path / "figures"
        self.config_path = self.path / "config.yaml"
        self.status_path = self.path / "status.json"
        self.metrics_path = self.path / "metrics.parquet"
        self.summary_path = self.path / "summary.json"

    def make(self) -> "RunDir":
        """Makes the folders. Raises UserError if that fails, and if a link inside the run's folder
        leads out of it."""
        require_inside(self.path)
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.figures.mkdir(exist_ok=True)
        except OSError as error:
            raise self.unwritable(error) from None
        return self

    def create(self, config_yaml_text: str) -> "RunDir":
        """Makes the folders, removes temporary files of a killed writer, and writes config.yaml.
        Raises UserError on failure."""
        self.make()
        try:
            for leftover in self.path.rglob(TEMPORARY):
                leftover.unlink(missing_ok=True)
            write_atomic(self.config_path, config_yaml_text)
        except OSError as error:
            raise self.unwritable(error) from None
        return self

    def clear(self) -> None:
        """Removes the files of a run. The folder, and a lock that is held in it, stay. Raises
        UserError if the folder has files that no run writes, and then removes nothing."""
        try:
            remove_own_files(self.path)
        except OSError as error:
            raise self.unwritable(error) from None

    def unwritable(self, error: OSError) -> UserError:
        """Returns the UserError for a file that could not be written."""
        return UserError(f"runs_dir={self.runs_dir}: {cannot_write(error, self.path)}")

    def write_status(
        self, state: str, reason: str | None = None, first_bad: dict[str, Any] | None = None
    ) -> None:
        """Writes status.json. `started` is the first start and survives a resume. `finished` is
        null while the run is running, and never before `started`, even if the clock was set back.

        `first_bad` is {"term": ..., "step": ...} of the first value that was not finite.
        """
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}, got {state!r}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        previous = self.status() or {}
        started = str(previous.get("started") or now)
        status = {
            "state": state,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "reason": reason,
            "first_bad": first_bad,
            "started": started,
            "finished": None if state == "running" else max(started, now),
            "pid": os.getpid(),
            "host": platform.node(),
            "versions": versions(),
        }
        write_json(self.status_path, status)

    def summary(self) -> dict[str, Any] | None:
        """Returns the content of summary.json, None if it is missing or broken."""
        summary = read_json(self.summary_path)
        return summary if {"metrics", "verdict", "monitor"} <= summary.keys() else None

    def require_this_version(self, status: Mapping[str, Any]) -> None:
        """Raises UserError if `status` is from a run of another version of the results."""
        version = (status.get("versions") or {}).get("results_version")
        if version not in (None, RESULTS_VERSION):
            raise UserError(
                f"{self.path}: made by results version {version}, this is {RESULTS_VERSION};"
                " on_existing=restart"
            )

    def state(self) -> str:
        """Returns new, running, killed, stopped, failed or completed. A run is killed if its status
        is running but its process is gone."""
        return state_of(self.status())

    def status(self) -> dict[str, Any] | None:
        """Returns the content of status.json, None if it is missing or not a JSON object."""
        return read_json(self.status_path) or None


def has_checkpoint(folder: Path) -> bool:
    """Returns whether a folder of checkpoints has a checkpoint to resume from."""
    return any((folder / f"{name}.ckpt").is_file() for name in ("last", "previous"))


@contextmanager
def writing_below(folder: Path) -> Iterator[None]:
    """Raises UserError with the path if a file below `folder` cannot be written within the
    context."""
    try:
        yield
    except OSError as error:
        if error.errno in UNWRITABLE:
            raise UserError(f"{error.filename or folder}: {error.strerror}") from error
        raise


def require_inside(folder: Path) -> None:
    """Raises UserError if a file or folder that is written in a run's folder is a link that leads
    out of it. A run from someone else could have such links, to have other files overwritten."""
    for path in (folder / name for name in WRITTEN_IN_PLACE):
        # Windows has links of other kinds; elsewhere a file that is none is inside
        if (path.is_symlink() or os.name == "nt") and not is_inside(folder, path):
            raise UserError(
                f"{path}: a link that leads out of the run's folder; nothing is written there:"
                " remove the link"
            )


def is_inside(folder: Path, path: Path) -> bool:
    """Returns whether a path below `folder` stays there once links are followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


def state_of(status: Mapping[str, Any] | None) -> str:
    """Returns the state of a run from its status.json, see `RunDir.state`."""
    if status is None or status.get("state") not in STATES:
        return "new"
    if status["state"] == "running" and not _alive(status.get("pid"), status.get("host")):
        return "killed"
    return str(status["state"])


def _alive(pid: Any, host: Any) -> bool:
    """Returns whether the process exists. A process on another host counts as alive."""
    if host != platform.node() or not isinstance(pid, int):
        return host != platform.node()
    return process_exists(pid)


def versions() -> dict[str, Any]:
    """Returns the versions of the software that computed the run and the commit of the package,
    None for each that is not known. Imports nothing heavy."""
    installed = {
        name: _installed(name.replace("_", "-")) for name in ("torch", "pytorch_lightning")
    }
    return {
        "jepa_lab": __version__,
        **installed,
        "python": platform.python_version(),
        "results_version": RESULTS_VERSION,
        "commit": commit(),
    }


@cache
def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
