"""Checks whether a process of this host is running.

Imports only the standard library, since the command line needs these checks early.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def process_exists(pid: int) -> bool:
    """Returns whether this host has the process. A zombie (ended, but not waited for) counts."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no system has numbers beyond 64 bits
        return False
    except OSError:
        return True
    return True


def process_lives(pid: Any) -> bool:
    """Returns whether the process is running on this host. A zombie (ended, but not waited for)
    does not count."""
    if not isinstance(pid, int) or pid < 1:
        return False
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return process_exists(pid)
