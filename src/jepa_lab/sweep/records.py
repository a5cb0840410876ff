"""The sweep that a command runs, the exception that ends it early, and the removal of old records
at its start."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback


class SweepEnded(BaseException):
    """Unwinds the sweeper: a job was asked to stop, or failed under sweep.fail_fast."""


@dataclass
class RunningSweep:
    """The settings for the end of a sweep: its folder, the control run that its arms are compared
    with, the report on its runs, and the folder of its results."""

    folder: Path
    control: str = ""
    report: str = ""
    results: Path = Path("comparison_results")

    @classmethod
    def of(cls, cfg: Any) -> RunningSweep:
        """Returns the sweep of the configuration of a job or of the sweep."""
        sweep, own = cls(Path(cfg.hydra.sweep.dir)), cfg.get("sweep")
        if isinstance(own, Mapping):  # else the check of the jobs reports the error
            sweep.control, sweep.report = (
                str(own.get("control") or ""),
                str(own.get("report") or ""),
            )
            sweep.results = Path(own.get("results") or sweep.results)
        return sweep


def command_of(task_function: Any) -> Any:
    """Returns the `cli.job.Command` of a launcher's task, None for a task of another program."""
    return getattr(task_function, "command", None)


class SweepStart(Callback):
    """Removes the records of an earlier start. Hydra calls it once, in the command's process,
    before the jobs of a sweep."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        shutil.rmtree(Path(config.hydra.sweep.dir) / "jobs", ignore_errors=True)
