"""Runs the jobs of a sweep in other processes. A finished job starts no process, and the death of a
process fails only its own job."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.sweep_folder import Record, read_records
from jepa_lab.process.alive import process_lives
from jepa_lab.sweep.orders import SweepControl

# runs the jobs at these places to their ends, in other processes
Launch = Callable[[Sequence[int]], object]
HERE = ("done", "refused")  # planned states with nothing to train, so no process is needed
UNFINISHED = ("to do", "to resume", "stopped")
POLL_S = 0.5


class Jobs:
    """The jobs of one launch, numbered by their position in it.

    - `records` are the planned records of the jobs.
    - `elsewhere` runs some jobs in other processes. It returns when all have ended, or raises if a
      process died.
    - `here` runs one job in this process.
    - `local` is true if the processes are on this machine. For other machines only the records are
      known.
    """

    def __init__(
        self,
        records: Sequence[Record],
        orders: SweepControl,
        elsewhere: Launch,
        here: Callable[[int], Any],
        local: bool = True,
    ) -> None:
        self.records, self.orders, self.local = list(records), orders, local
        self.elsewhere, self.here = elsewhere, here

    def run(self) -> list[Record]:
        """Runs the jobs to their ends and returns their records in order. A job whose process died
        has the state failed.

        Finished jobs, and jobs with the same run as another job, run in this process.
        """
        places = range(len(self.records))
        first = [i for i in places if self.records[i].state in HERE]
        last = [
            i
            for i in places
            if i not in first and (self._twin(i) or self.records[i].state == "running")
        ]
        with self._stopping():
            self._run_here(first)
            self._run_elsewhere([i for i in places if i not in (*first, *last)])
            self._run_here(last)
        return self.now()

    def now(self) -> list[Record]:
        """Returns the records as the jobs have written them."""
        written = {r.job: r for r in read_records(self.orders.folder)}
        return [written.get(record.job, record) for record in self.records]

    def _run_here(self, places: Sequence[int]) -> None:
        for i in places:
            if self.orders.stopped() is None:
                self.here(i)

    def _run_elsewhere(self, places: Sequence[int]) -> None:
        """Runs the jobs all at once.

        If a process dies, the jobs that were running then are repeated one by one, so that the next
        death identifies its job. The rest follows all at once.
        """
        if not places or self.orders.stopped() is not None:
            return
        try:
            self.elsewhere(places)
            error: Exception | None = None
        except Exception as raised:  # its type says little about the jobs, so the records decide
            error = raised
        if not self.local:
            if error is not None and self.orders.stopped() is None:
                raise UserError(
                    f"a job of the cluster left no result ({first_line(error)}); the others stay in"
                    " the queue, and the same command later reports their results"
                )
            return
        self._settle(places)
        now = self.now()
        running = [i for i in places if now[i].state == "running" and now[i].pid is not None]
        if self.orders.stopped() is not None:
            for i in running:
                self._close(i, "stopped", "its process was stopped")
            return
        if error is None:
            return
        if len(places) == 1:
            self._close(places[0], "failed", f"its process died: {first_line(error)}", code=1)
            return
        print(
            f"jepa_lab: a process of the sweep died ({first_line(error)}); its jobs are run again",
            file=sys.stderr,
        )
        for i in running:
            self._run_elsewhere([i])
        now = self.now()
        waiting = [i for i in places if i not in running and now[i].state in ("to do", "to resume")]
        if len(waiting) == len(places):  # no job has begun, so another attempt would fail too
            for i in waiting:
                self._close(i, "failed", f"its process died: {first_line(error)}", code=1)
        else:
            self._run_elsewhere(waiting)

    def _settle(self, places: Sequence[int]) -> None:
        """Waits for processes that outlive their launcher's call, as those of submitit do."""
        while any(self._runs(record) for record in self._now_of(places)):
            time.sleep(POLL_S)

    def _now_of(self, places: Sequence[int]) -> list[Record]:
        now = self.now()
        return [now[i] for i in places]

    @staticmethod
    def _runs(record: Record) -> bool:
        return record.state == "running" and process_lives(record.pid)

    def _twin(self, place: int) -> bool:
        """Returns whether an earlier job has the same run."""
        own = self.records[place].run_dir
        return own is not None and any(r.run_dir == own for r in self.records[:place])

    def _close(self, place: int, state: str, reason: str, code: int = 0) -> None:
        record = self.now()[place]
        record.folder = self.orders.folder / "jobs"
        record.close(state, reason, code)

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        """Makes Ctrl-C and SIGTERM stop the jobs with their checkpoints. A second Ctrl-C ends them
        at once."""

        def note(number: int, frame: Any) -> None:
            if self.orders.stopped() is not None and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.orders.stop(f"{signal.Signals(number).name} received")
            print(
                "\nstopping all jobs at their next step, with a checkpoint (Ctrl-C again: at once)",
                file=sys.stderr,
            )

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def first_line(error: BaseException) -> str:
    """Returns the type and first line of an error, as 'TerminatedWorkerError: A worker process
    ...'."""
    text = str(error).strip().split("\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
