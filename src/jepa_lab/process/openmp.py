"""OMP_WAIT_POLICY, the variable by which OpenMP's threads wait for work. Torch reads it when it is
imported.

By default they spin, which makes two busy processes on two cores several times slower than one. A
command sets them to sleep instead, unless the variable is set. No result changes. A run alone on a
quiet machine is slower by it: docs/benchmarks.md has both. A program that imports the package keeps
its own policy.
"""

from __future__ import annotations

import os
import sys

from jepa_lab.process.early import starts_a_command

NAME = "OMP_WAIT_POLICY"


def let_threads_sleep(command: bool) -> None:
    """Sets OMP_WAIT_POLICY to PASSIVE for a command, and with it for its child processes."""
    if command:
        os.environ.setdefault(NAME, "PASSIVE")


let_threads_sleep(starts_a_command(sys.orig_argv))
