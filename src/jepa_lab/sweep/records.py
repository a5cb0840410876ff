"""The sweep that a command runs, and its records' start."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback


@dataclass
class RunningSweep:
    """What the end of a sweep has to know: its folder; the control that its arms are compared with;
    the report that is made of its runs, and the folder of its results."""

    folder: Path
    control: str = ""
    report: str = ""
    results: Path = Path("comparison_results")

    @classmethod
    def of(cls, cfg: Any) -> RunningSweep:
        """From the configuration of a job, or of the sweep."""
        sweep, own = cls(Path(cfg.hydra.sweep.dir)), cfg.get("sweep")
        if isinstance(own, Mapping):  # else the check of the jobs says what is wrong
            sweep.control, sweep.report = (
                str(own.get("control") or ""),
                str(own.get("report") or ""),
            )
            sweep.results = Path(own.get("results") or sweep.results)
        return sweep


def command_of(task_function: Any) -> Any:
    """The `cli.job.Command` that a launcher's task belongs to; None for a task of another program.
    The `cli.job.Command` that a launcher's task belongs to; None for a task of another program."""
    return getattr(task_function, "command", None)


class SweepStart(Callback):
    """Hydra calls it once, in the process that was started, before the jobs of a sweep: removes the
    records of an earlier start."""

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        shutil.rmtree(Path(config.hydra.sweep.dir) / "jobs", ignore_errors=True)
