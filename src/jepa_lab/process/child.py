"""A command of jepa-lab as a child process of another command."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

PR_SET_PDEATHSIG = 1  # of Linux: the signal that a process gets when its parent is gone


def run_child(command: Sequence[str]) -> int:
    """Runs a command line to its end and returns its exit code.

    If this process is interrupted, the child is asked to stop as by SIGTERM, and it has ended when
    the interruption is raised: a run writes its checkpoint first. On Linux a child is asked to stop
    in the same way if this process is killed.
    """
    with subprocess.Popen(command, preexec_fn=stops_with_parent()) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise


def stops_with_parent() -> Callable[[], None] | None:
    """Returns the function that a child calls before it starts its program, None for systems other
    than Linux."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it was killed in between
            os._exit(128 + signal.SIGTERM)

    return ask
