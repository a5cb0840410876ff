"""Whether a process of this host is there. Light: the command line reads it before anything heavy
is imported."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def process_exists(pid: int) -> bool:
    """Whether this host has it, one that has ended and was not waited for included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def process_lives(pid: Any) -> bool:
    """Whether the process exists on this host; one that has ended and was not waited for does not.
    Whether the process exists on this host; one that has ended and was not waited for does not."""
    if not isinstance(pid, int) or pid < 1:
        return False
    with suppress(OSError, IndexError):
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            not in "ZX"
        )
    return process_exists(pid)
