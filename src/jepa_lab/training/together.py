"""Starts the processes of a run, brings them together, and ends them.

Process 0 decides what is done with the run and owns its folder. The others wait for its word.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.child import stops_with_parent
from jepa_lab.process.orphans import end_with_parent
from jepa_lab.process.ranks import ProcessLost
from jepa_lab.ranks import from_first
from jepa_lab.training.place import Place

MEETING = timedelta(minutes=10)  # until all processes have loaded their data
SILENCE = timedelta(hours=2)  # process 0 may measure or write while the others wait for it
LOOK_EVERY_S, GRACE_S = 0.5, 8.0
LOCAL_RANK = "LOCAL_RANK"  # the variable by which Lightning knows that processes are started
CHILD = "from jepa_lab.training.together import follow; follow()"


class Word(NamedTuple):
    """The word of the first process: train the run, from this checkpoint if it is not None."""

    home: RunDir
    checkpoint: Any


class Others:
    """The other processes of a run, as process 0 sees them. Without any, nothing happens.

    `start` starts them unless a launcher did. `meet` joins them. At the end of the context those
    that were started are ended, and those of a launcher that still wait are sent away.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        # called before a run is ended that waits for a process which is gone
        self.lost: Callable[[str], object] = lambda reason: None
        self._children: list[subprocess.Popen[bytes]] = []
        self._store: dist.TCPStore | None = None
        self._met = self._over = False
        self._variable = os.environ.get(LOCAL_RANK)

    def __enter__(self) -> Others:
        return self

    def start(self, work: Callable[[Place], object]) -> None:
        """Starts the other processes, each of which calls work(its place). `work` is picklable."""
        if self.place.world == 1 or self.place.launcher is not None:
            return
        os.environ[LOCAL_RANK] = "0"
        self._store = dist.TCPStore(
            "127.0.0.1",
            0,
            self.place.world,
            is_master=True,
            wait_for_workers=False,
            timeout=MEETING,
        )
        for rank in range(1, self.place.world):
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, LOCAL_RANK: str(rank)},
                preexec_fn=stops_with_parent(),
                start_new_session=True,  # Ctrl-C reaches process 0, which asks the others to stop
            )
            self._children.append(child)
            place = Place(rank, self.place.devices, port=self._store.port)
            assert child.stdin is not None
            with child.stdin as pipe, suppress(BrokenPipeError):
                for part in (sys.path, (work, place)):
                    pickle.dump(part, pipe)
        threading.Thread(target=self._watch, daemon=True).start()

    def meet(self, word: Word | None) -> None:
        """Waits for the other processes, and sends them the word that they wait for."""
        if self.place.world > 1:
            self._met = True
            join(self.place, self._store)
            from_first(word)

    def dismiss(self) -> None:
        """Tells the other processes that there is nothing to do."""
        self.meet(None)
        leave()

    def release(self) -> None:
        """Lets the other processes go: the run needs them no longer, however they end."""
        self._over = True

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turns the error of a collective operation without its other processes into
        ProcessLost."""
        try:
            yield
        except RuntimeError as error:
            if self.place.world == 1 or not is_from_peers(error):
                raise
            reason = self._reason(wait_s=3.0)
            raise ProcessLost(reason or "another process of the run ended") from error

    def __exit__(self, *error: object) -> None:
        self.release()
        if self.place.world > 1 and self.place.launcher is not None and not self._met:
            with suppress(Exception):
                self.dismiss()
        leave()
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.1 if any(error) else GRACE_S)
        for child in self._children:
            if child.poll() is None:
                child.kill()
                child.wait()
        if self._children:
            os.environ.pop(LOCAL_RANK, None)
            if self._variable is not None:
                os.environ[LOCAL_RANK] = self._variable

    def _reason(self, wait_s: float = 0.0) -> str | None:
        """Returns which of the started processes has ended before its work, None if none has."""
        until = time.monotonic() + wait_s
        while True:
            for number, child in enumerate(self._children, start=1):
                if child.poll():
                    return f"process {number} of {self.place.world} {_ended(child.returncode)}"
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)

    def _watch(self) -> None:
        """Ends this process if it waits for one that is gone: not every collective operation
        fails by itself."""
        while not self._over and self._reason() is None:
            time.sleep(LOOK_EVERY_S)
        until = time.monotonic() + GRACE_S
        while not self._over and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
        reason = None if self._over else self._reason()
        if reason is not None:
            self.lost(reason)
            os.write(2, f"jepa_lab: {reason}; the same command resumes the run\n".encode())
            os._exit(1)


def _ended(code: int) -> str:
    return f"was killed ({signal.Signals(-code).name})" if code < 0 else f"failed (exit {code})"


def is_from_peers(error: BaseException) -> bool:
    """Returns whether an error is that of a collective operation without its other processes."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in text or "connection closed" in text


def join(place: Place, store: dist.TCPStore | None = None) -> None:
    """Joins the processes of the run. Each has its own device, if there are accelerators."""
    gpu = torch.cuda.is_available() and place.local_rank < torch.cuda.device_count()
    if gpu:
        torch.cuda.set_device(place.local_rank)
    if place.launcher is not None:
        os.environ["MASTER_ADDR"] = place.launcher.main_address
        os.environ["MASTER_PORT"] = str(place.launcher.main_port)
    elif store is None:
        assert place.port is not None
        store = dist.TCPStore("127.0.0.1", place.port, place.world, is_master=False)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        store=store,
        rank=place.rank,
        world_size=place.world,
        timeout=SILENCE,
    )


def leave() -> None:
    """Leaves the other processes of the run."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def joined(place: Place) -> Iterator[Any]:
    """Joins process 0 until the context ends, and yields its word."""
    join(place)
    try:
        yield from_first(None)
    finally:
        leave()


def follow() -> None:
    """Runs a process that `Others.start` started. It ends with the process that started it."""
    end_with_parent(os.getppid())
    sys.path[:] = pickle.load(sys.stdin.buffer)
    work, place = pickle.load(sys.stdin.buffer)
    try:
        work(place)
    except ProcessLost:
        raise SystemExit(1) from None


@contextmanager
def silence() -> Iterator[None]:
    """Prints nothing until the context ends, except for the traceback of an error after it."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nothing,
        redirect_stdout(nothing),
        redirect_stderr(nothing),
    ):
        yield
