"""A command of jepa-lab as a child process of another command."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


def run_child(command: Sequence[str]) -> int:
    """Runs a command line to its end and returns its exit code.

    If this process is interrupted, the child is asked to stop as by SIGTERM, and it has ended when
    the interruption is raised: a run writes its checkpoint first.
    """
    with subprocess.Popen(command) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            child.wait()
            raise
