"""The plan of a run: its data, its folder and the remaining work, without starting it.

It imports torch but not Lightning, so that `jepa_lab.check` and the table of a sweep start fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from jepa_lab.config.run_config import RunConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.own_files import require_kinds
from jepa_lab.ledger.run_dir import RunDir, has_checkpoint


@dataclass
class RunPlan:
    """The plan of one run: its configuration and its folder. Nothing on disk is touched."""

    config: Any
    home: RunDir

    def decide(self) -> str:
        """Returns new, resume, restart or skip, from the state of the run's folder. A completed
        run without metrics, which an earlier version could leave, is restarted.

        Raises UserError for on_existing=error if the run exists, for a run of another version of
        the results unless it is restarted, and for a folder at the name of a file or the reverse.
        """
        run, on_existing = self.home, self.config.on_existing
        require_kinds(run.path)
        status = run.status()
        checkpoint = has_checkpoint(run.checkpoints)
        if status is None and not checkpoint:
            return "new"
        status = status or {}
        if on_existing == "error":
            raise UserError(
                f"{run.path}: this run exists ({run.state()}); give on_existing=resume or"
                " on_existing=restart"
            )
        if on_existing == "restart":
            return "restart"
        run.require_this_version(status)
        summary = run.summary() if status.get("state") == "completed" else None
        if summary is not None:
            return "skip" if summary["metrics"] else "restart"
        return "resume" if checkpoint else "new"

    def note(self) -> str | None:
        """Returns a remark for the table of jobs, None without one."""
        return None

    def config_yaml(self) -> str:
        """Returns config.yaml as written when the run starts."""
        text: str = self.config.to_yaml()
        return text


class Planner(ABC):
    """Plans the runs of a study."""

    @abstractmethod
    def load(self, config: Any) -> Any:
        """Returns the data of a run. Raises UserError if they are missing, broken, or fewer than a
        batch."""

    def require_stored(self, config: Any) -> None:  # noqa: B027 - most studies download nothing
        """Raises UserError if `load` would download data."""

    def data_key(self, config: Any) -> str:
        """Returns a text that is equal for configurations that read the same data."""
        keys = asdict(config.dataset).items()
        return repr({k: v for k, v in keys if k not in ("tiers", "epochs")})

    def try_build(self, config: Any, data: Any) -> bool:
        """Builds the model of a run without the code that trains it, which takes seconds to import.
        Returns False if the study has no such way; `Study.prepare` then builds it. Raises UserError
        as that does."""
        return False

    @abstractmethod
    def describe(self, config: Any, data: Any) -> str:
        """Returns the amount of data, for the line below a table of jobs."""

    @abstractmethod
    def fingerprint(self, data: Any) -> str:
        """Returns a hash of the data, which is part of a run's identity."""

    def plan(self, config: Any, fingerprint: str) -> RunPlan:
        """Returns the plan of the run of a checked configuration."""
        return RunPlan(config, run_of(config, fingerprint))


def fewer_than_wanted(found: Iterable[tuple[str, int, str, int | None]]) -> list[str]:
    """Returns a line for every (name, number, key, wanted number) with fewer samples than wanted,
    None for any number."""
    return [
        f"{n:,} {name}, fewer than {key}={wanted}"
        for name, n, key, wanted in found
        if wanted is not None and n < wanted
    ]


def identity(config: RunConfig, fingerprint: str) -> str:
    """Returns the run's id: a hash of the resolved configuration, the data's fingerprint and the
    version of the results."""
    return run_id(config.counted(), fingerprint)


def run_of(config: RunConfig, fingerprint: str) -> RunDir:
    """Returns the folder of the run. Nothing on disk is touched."""
    return RunDir(config.runs_dir, config.name, identity(config, fingerprint))
