"""Ctrl-C and SIGTERM while Python still imports a command. There is nothing to finish yet, so the
process ends at once, without a traceback.

Imports only modules that Python has loaded when it starts. Until the handlers are installed, a
signal ends the process in Python's own way.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found] # signal loads enum, which takes longer
import os
import sys

if False:  # typing.TYPE_CHECKING, without the import
    from collections.abc import Sequence
    from typing import Any


def starts_a_command(argv: Sequence[str]) -> bool:
    """Returns whether these arguments of Python, `sys.orig_argv`, start a command of jepa-lab. They
    do not if a notebook, a test or a worker process imports the package."""
    pairs = zip(argv, argv[1:], strict=False)  # noqa: RUF007 - itertools may not be loaded
    if any(flag == "-m" and name.split(".")[0] == "jepa_lab" for flag, name in pairs):
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
