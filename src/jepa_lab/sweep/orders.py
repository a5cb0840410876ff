"""Messages of the command that started a sweep to its jobs in other processes: that it is alive,
its start time, and a request to stop.

They are two small files in the sweep's folder, which every process and host of the sweep can read.
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

LOOK_EVERY_S = 1.0  # a check at every step would load a network file system


@dataclass
class SweepControl:
    """The messages of one command. `folder` is the sweep's folder. `token` identifies the command
    that owns the job. `look_every_s` is the least time between two reads of the request to stop."""

    folder: Path
    token: str
    look_every_s: float = LOOK_EVERY_S
    _looked: float = float("-inf")
    _text: str | None = None

    @classmethod
    def create(cls, sweep_dir: Path, started: float) -> SweepControl:
        """Writes the messages of a command that began at the monotonic time `started` and now
        starts jobs in other processes. Raises OSError on failure."""
        orders = cls(sweep_dir, uuid4().hex, look_every_s=0.0)
        orders._command.parent.mkdir(parents=True, exist_ok=True)
        orders._stop.unlink(missing_ok=True)
        began = time.time() - (time.monotonic() - started)
        content = {
            "token": orders.token,
            "began": began,
            "monotonic": started,
            "pid": os.getpid(),
            "host": platform.node(),
        }
        write_json(orders._command, content)
        return orders

    @classmethod
    def of_this_job(cls) -> SweepControl | None:
        """Returns the messages for the current job. None for a single run, and for jobs that run
        one after another in one process."""
        hydra = HydraConfig.get()
        token = hydra.job.env_set.get(COMMAND)
        return cls(Path(hydra.sweep.dir), str(token)) if token else None

    def overrides(self, job: int) -> list[str]:
        """Returns the overrides to add to a job, counted from 1, since launchers number the jobs of
        each launch anew."""
        return [
            f"++hydra.job.env_set.{JOB}='{job}'",
            f"++hydra.job.env_set.{COMMAND}='{self.token}'",
        ]

    def stop(self, reason: str) -> None:
        """Requests that every job stops at its next step with a checkpoint and that no further job
        starts."""
        with suppress(OSError):
            write_atomic(self._stop, reason)

    def stopped(self) -> str | None:
        """Returns the reason to stop, None without a request."""
        if self._text is None and time.monotonic() - self._looked >= self.look_every_s:
            self._looked = time.monotonic()
            with suppress(OSError):
                self._text = self._stop.read_text(encoding="utf-8") or "stopped"
        return self._text

    def obsolete(self) -> bool:
        """Returns whether the command that owns this job is gone: killed, or replaced by a later
        one with its own jobs.

        A command on another host counts as alive, so its jobs (for example in the queue of a
        cluster) still run.
        """
        command = self._read()
        if command.get("token") != self.token:
            return True
        return command.get("host") == platform.node() and not process_lives(command.get("pid"))

    def started(self) -> float:
        """Returns the start time of the command on this process's monotonic clock, which all
        processes of a host share. For another host the wall clocks decide."""
        command, now = self._read(), time.monotonic()
        began, monotonic = command.get("began"), command.get("monotonic")
        if command.get("host") == platform.node() and isinstance(monotonic, int | float):
            return min(float(monotonic), now)
        elapsed = time.time() - began if isinstance(began, int | float) else 0.0
        return now - max(elapsed, 0.0)

    def _read(self) -> dict[str, Any]:
        return read_json(self._command)

    @property
    def _command(self) -> Path:
        return self.folder / "jobs" / "command"

    @property
    def _stop(self) -> Path:
        return self.folder / "jobs" / "stop"
