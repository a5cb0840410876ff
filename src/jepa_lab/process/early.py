"""Ctrl-C and SIGTERM while Python still imports a command. There is nothing to finish yet, so the
process ends at once, without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any


def starts_a_command(argv: Sequence[str]) -> bool:
    """Returns whether these arguments of Python, `sys.orig_argv`, start a command of jepa-lab. They
    do not if a notebook, a test or a worker process imports the package."""
    if any(flag == "-m" and name.split(".")[0] == "jepa_lab" for flag, name in pairwise(argv)):
        return True
    return len(argv) > 1 and os.path.basename(argv[1]) == "jepa-lab"


def end_quietly_on_signals() -> None:
    """Makes Ctrl-C and SIGTERM print one line and end the process, until the command's own handlers
    are installed. Ctrl-C of a background job stays ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: Any) -> None:
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    os.write(2, f"stopped ({name})\n".encode())
    os._exit(128 + number)


if starts_a_command(sys.orig_argv):
    end_quietly_on_signals()
