"""What became of every job of a sweep: one small file each, written by the process that ran it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode

from jepa_lab.sweep.orders import JOB

STATES = ("done", "skipped", "resumed", "stopped", "running", "failed", "to do", "to resume", "refused")


@dataclass
class Record:
    """One job, counted from 1.

    state: done, resumed (done, from a checkpoint on), skipped (finished before), running (by another process, or when
    it was killed), stopped, failed, or as it was planned; code: what a single run of it would exit with; pid: of the
    process that ran it; value: what the job returned to the sweeper.
    """

    job: int
    words: list[str]
    state: str
    run_id: str | None = None
    run_dir: str | None = None
    reason: str | None = None
    code: int = 0
    pid: int | None = None
    value: float | None = None
    folder: Path | None = None  # of the sweep; None: kept in memory only

    @classmethod
    def of_this_job(cls) -> Record | None:
        """The record of the job that runs, opened in its sweep's folder; None in a single run."""
        hydra = HydraConfig.get()
        if hydra.mode != RunMode.MULTIRUN:
            return None
        folder = Path(hydra.sweep.dir) / "jobs"
        number = int(hydra.job.env_set.get(JOB) or int(hydra.job.num) + 1)
        record = cls(number, settings_of(hydra.overrides.task), "running", pid=os.getpid(), folder=folder)
        record.write()
        return record

    def write(self) -> None:
        """Writes the file; OSError if that is impossible."""
        if self.folder is not None:
            from jepa_lab.ledger.atomic import write_json

            self.folder.mkdir(parents=True, exist_ok=True)
            content = {k: v for k, v in asdict(self).items() if k != "folder"}
            write_json(self.folder / f"{self.job:04d}.json", content)

    def close(self, state: str, reason: str | None = None, code: int = 0) -> None:
        """The job has ended like this."""
        self.state, self.reason, self.code = state, reason, code
        self.write()


def settings_of(overrides: Iterable[Any]) -> list[str]:
    """The words of a job as they were given: the ++ that cli.native_words writes is taken off."""
    return [str(word).removeprefix("++") for word in overrides]


def read_records(sweep_dir: Path) -> list[Record]:
    """The records of a sweep in the order of its jobs; a file that cannot be read is left out."""
    records = []
    for path in sorted((sweep_dir / "jobs").glob("*.json")):
        try:
            records.append(Record(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue
    return sorted(records, key=lambda r: r.job)


class Begin(Callback):
    """Hydra calls it once, in the process that was started, before the jobs of a sweep: forgets the sweep's records of
    an earlier start, and remembers where the new ones will be."""

    sweep_dir: Path | None = None
    control: str = ""
    report: str = ""
    results = Path("comparison_results")

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        Begin.sweep_dir, own = Path(config.hydra.sweep.dir), config.sweep
        if isinstance(own, Mapping):  # else the check of the jobs says what is wrong
            Begin.control, Begin.report = str(own.get("control") or ""), str(own.get("report") or "")
            Begin.results = Path(own.get("results") or Begin.results)
        shutil.rmtree(Begin.sweep_dir / "jobs", ignore_errors=True)
