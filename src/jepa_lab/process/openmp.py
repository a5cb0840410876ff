"""The variables by which OpenMP's threads wait for work. Torch reads them when it is imported.

By default a waiting thread spins for milliseconds, which makes two busy processes on two cores
more than ten times slower than one. A command lets its threads spin for microseconds and then
sleep, unless one of the variables is set. No result changes. docs/benchmarks.md has what this gains
and costs. A program that imports the package keeps its own policy.

GOMP_SPINCOUNT is read by GNU's OpenMP, which torch has on Linux. It goes before OMP_WAIT_POLICY
there. Other implementations read only the latter.
"""

from __future__ import annotations

import os
import sys

from jepa_lab.process.early import starts_a_command

POLICY, SPINS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"
SHORT = "1000"  # turns of an empty loop, a few microseconds


def let_threads_sleep(command: bool) -> None:
    """Sets both variables for a command, and with it for its child processes."""
    if command and POLICY not in os.environ and SPINS not in os.environ:
        os.environ.update({POLICY: "PASSIVE", SPINS: SHORT})


let_threads_sleep(starts_a_command(sys.orig_argv))
