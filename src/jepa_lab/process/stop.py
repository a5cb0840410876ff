"""Being asked to stop: Ctrl-C, SIGTERM, or a limit on wall-clock time. The run answers at its next
safe moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether to stop, and why. `started` is the monotonic time from which `max_wall_s` counts: now
    by default; `told` returns a text once someone else wants it."""

    def __init__(
        self, started: float | None = None, told: Callable[[], str | None] | None = None
    ) -> None:
        self.started = time.monotonic() if started is None else started
        self.signal: str | None = None
        self.told = told

    def reason(self, max_wall_s: float | None = None) -> str | None:
        """A text if the run should stop, else None."""
        if self.signal is not None:
            return f"{self.signal} received"
        told = self.told() if self.told is not None else None
        if told is not None:
            return told
        if max_wall_s is not None and time.monotonic() - self.started >= max_wall_s:
            return f"max_wall_s={max_wall_s:g} reached"
        return None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Signals are noted instead of killing, and kill again afterwards. Nothing changes outside
        the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.arm()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def arm(self) -> None:
        """Takes the signals (again: Lightning replaces the handlers when it starts a loop)."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
        # not print(): a signal may arrive inside a write to the same stream
        os.write(2, b"\nstopping at the next step, with a checkpoint (Ctrl-C again: at once)\n")
