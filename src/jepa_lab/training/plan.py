"""What a configuration would do, without doing it: its data, its run's folder, and what is left to
do there.

Imports torch but not Lightning, so that `jepa_lab.check` and a sweep's table answer soon.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.run_config import RunConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.run_dir import RunDir, has_checkpoint


@dataclass
class RunPlan:
    """One run: its configuration and its folder, of which nothing is touched."""

    config: Any
    home: RunDir

    def decide(self) -> str:
        """new, resume, restart or skip, from what the run's folder says. UserError for
        on_existing=error, and for a run of another version of the results unless it is restarted.
        """
        run, on_existing = self.home, self.config.on_existing
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
        if status.get("state") == "completed" and run.summary() is not None:
            return "skip"
        return "resume" if checkpoint else "new"

    def note(self) -> str | None:
        """A remark for a table of jobs."""
        return None

    def config_yaml(self) -> str:
        """config.yaml as it is written when the run starts."""
        text: str = self.config.to_yaml()
        return text


class Planner(ABC):
    """What the runs of a study would do."""

    @abstractmethod
    def load(self, config: Any) -> Any:
        """The data of a run. UserError where they are missing, broken, or fewer than a batch."""

    @abstractmethod
    def data_key(self, config: Any) -> Any:
        """Equal for configurations that read the same data."""

    @abstractmethod
    def describe(self, config: Any, data: Any) -> str:
        """How much data there is, for the line below a table of jobs."""

    @abstractmethod
    def fingerprint(self, data: Any) -> str:
        """A hash of the data, which belongs to the identity of a run."""

    def plan(self, config: Any, fingerprint: str) -> RunPlan:
        """The run of a checked configuration."""
        return RunPlan(config, run_of(config, fingerprint))


def identity(config: RunConfig, fingerprint: str) -> str:
    """The run's id: resolved configuration, the data's fingerprint, and the version of the
    results."""
    return run_id(config.counted(), fingerprint)


def run_of(config: RunConfig, fingerprint: str) -> RunDir:
    """The folder of the run; nothing on disk is touched."""
    return RunDir(config.runs_dir, config.name, identity(config, fingerprint))
