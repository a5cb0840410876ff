"""Signals that end a command: Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(SystemExit):
    """SIGTERM was received. The exit code is 143, as of a process that the signal killed."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class Received:
    """The signal that the command received, None before."""

    number: int | None = None

    def stop(self, error: BaseException) -> int | None:
        """Returns the signal that ended the command with this error, None for another end, or if
        the command has reported the signal itself. The error may be of any type, since C code
        replaces the exception that a signal raises."""
        if isinstance(error, KeyboardInterrupt):
            return signal.SIGINT
        reported = isinstance(error, SystemExit) and not isinstance(error, Terminated)
        return None if reported else self.number


def stopped_by(number: int, hint: str = "") -> str:
    """Returns the line about a command that a signal ended, with `hint` at its end."""
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    return f"stopped ({name}){hint}"


@contextmanager
def ending_on_signals() -> Iterator[Received]:
    """Makes Ctrl-C raise KeyboardInterrupt and SIGTERM raise Terminated within the context.

    A second signal ends the process at once. A signal that is ignored, as Ctrl-C in a background
    job, stays ignored. Changes nothing outside the main thread.
    """
    received, own = Received(), os.getpid()

    def end(number: int, frame: Any) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        if os.getpid() != own:  # a forked process ends as it would without this handler
            os.kill(os.getpid(), number)
            return
        received.number = number
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    known = {number: signal.getsignal(number) for number in SIGNALS}
    before = {n: now for n, now in known.items() if now not in (None, signal.SIG_IGN)}
    if threading.current_thread() is not threading.main_thread():
        before = {}
    for number in before:
        signal.signal(number, end)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
