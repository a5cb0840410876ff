"""Requests to stop a run: Ctrl-C, SIGTERM, or a limit on wall-clock time. The run stops at its next
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
    """Decides whether a run should stop, and why.

    `started` is the monotonic time from which `max_wall_s` counts, by default now.
    `external_reason` returns a text once something outside this process requests the stop.
    """

    def __init__(
        self, started: float | None = None, external_reason: Callable[[], str | None] | None = None
    ) -> None:
        self.started = time.monotonic() if started is None else started
        self.signal: str | None = None
        self.external_reason = external_reason

    def reason(self, max_wall_s: float | None = None) -> str | None:
        """Returns a text if the run should stop, else None."""
        if self.signal is not None:
            return f"{self.signal} received"
        external = self.external_reason() if self.external_reason is not None else None
        if external is not None:
            return external
        if max_wall_s is not None and time.monotonic() - self.started >= max_wall_s:
            return f"max_wall_s={max_wall_s:g} reached"
        return None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Makes signals request a stop instead of killing the process, until the context ends. Does
        nothing outside the main thread."""
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
        """Installs the signal handlers. Also called later, since Lightning replaces the handlers
        when it starts a loop."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
        # print() is unsafe here: the signal may have interrupted a write to the same stream
        os.write(2, b"\nstopping at the next step, with a checkpoint (Ctrl-C again: at once)\n")
