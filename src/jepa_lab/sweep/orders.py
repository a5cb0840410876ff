"""What the command that started a sweep tells its jobs in other processes: that it lives, since
when, and to stop.

Two small files in the sweep's folder, which every process and host of the sweep can see.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from hydra.core.hydra_config import HydraConfig

from jepa_lab.ledger.atomic import write_atomic, write_json
from jepa_lab.ledger.read import read_json
from jepa_lab.ledger.sweep_folder import COMMAND, JOB
from jepa_lab.process.alive import process_lives

LOOK_EVERY_S = 1.0  # a file system over a network would feel a look at every step


@dataclass
class SweepControl:
    """folder: of the sweep; token: of the command that the job belongs to; look_every_s: at most so
    often is the file system asked."""

    folder: Path
    token: str
    look_every_s: float = LOOK_EVERY_S
    _looked: float = float("-inf")
    _text: str | None = None

    @classmethod
    def give(cls, sweep_dir: Path, started: float) -> SweepControl:
        """Those of a command that began at the monotonic time `started`, and now starts jobs
        elsewhere. OSError."""
        orders = cls(sweep_dir, uuid4().hex, look_every_s=0.0)
        orders._command.parent.mkdir(parents=True, exist_ok=True)
        orders._stop.unlink(missing_ok=True)
        began = time.time() - (time.monotonic() - started)
        content = {
            "token": orders.token,
            "began": began,
            "pid": os.getpid(),
            "host": platform.node(),
        }
        write_json(orders._command, content)
        return orders

    @classmethod
    def of_this_job(cls) -> SweepControl | None:
        """Those for the job that runs; None in a single run, and where jobs run one after another
        in one process."""
        hydra = HydraConfig.get()
        token = hydra.job.env_set.get(COMMAND)
        return cls(Path(hydra.sweep.dir), str(token)) if token else None

    def words(self, job: int) -> list[str]:
        """What to add to the overrides of a job, counted from 1: launchers number those that they
        get by themselves."""
        return [
            f"++hydra.job.env_set.{JOB}='{job}'",
            f"++hydra.job.env_set.{COMMAND}='{self.token}'",
        ]

    def stop(self, reason: str) -> None:
        """Every job stops at its next step with a checkpoint, and none starts."""
        with suppress(OSError):
            write_atomic(self._stop, reason)

    def stopped(self) -> str | None:
        """Why the jobs are to stop; None if they are not."""
        if self._text is None and time.monotonic() - self._looked >= self.look_every_s:
            self._looked = time.monotonic()
            with suppress(OSError):
                self._text = self._stop.read_text(encoding="utf-8") or "stopped"
        return self._text

    def obsolete(self) -> bool:
        """Whether the command that wanted this job is gone: killed, or replaced by a later one that
        has its own jobs.

        Of one on another host nothing is known: its jobs, say in the queue of a cluster, stay
        wanted.
        """
        command = self._read()
        if command.get("token") != self.token:
            return True
        return command.get("host") == platform.node() and not process_lives(command.get("pid"))

    def started(self) -> float:
        """The monotonic time, in this process, at which the command began."""
        began = self._read().get("began")
        return time.monotonic() - (
            time.time() - float(began) if isinstance(began, int | float) else 0.0
        )

    def _read(self) -> dict[str, Any]:
        return read_json(self._command)

    @property
    def _command(self) -> Path:
        return self.folder / "jobs" / "command"

    @property
    def _stop(self) -> Path:
        return self.folder / "jobs" / "stop"
