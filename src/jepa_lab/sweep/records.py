"""The sweep that a command runs, the exception that ends it early, and the removal of old records
at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.ledger.sweep_folder import remove_records

OURS = "hydra_plugins._jepa_lab"  # start of the names of our sweepers
CHECKED = "hydra_plugins._jepa_lab_sweeper.CheckedSweeper"


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


def begin_sweep(master: DictConfig) -> Path:
    """Returns the folder of a sweep. Writes its configuration there, without the records of an
    earlier start. Sweepers call it once all jobs are checked. Raises OSError on failure."""
    folder = Path(master.hydra.sweep.dir)
    remove_records(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "multirun.yaml", OmegaConf.to_yaml(master))
    return folder


class SweepStart(Callback):
    """Prepares a sweep. Hydra calls it once, in the command's process, before the sweep.

    Another program's sweeper does not call `begin_sweep`, so the records of an earlier start are
    removed.
    """

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        if not config.hydra.sweeper._target_.startswith(OURS):
            remove_records(Path(config.hydra.sweep.dir))
