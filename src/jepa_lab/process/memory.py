"""The memory that this process can have, and the errors of a memory that is used up."""

from __future__ import annotations

import errno
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

resource: Any
try:
    import resource
except ImportError:  # Windows
    resource = None

# limits of a container, in the files of cgroup v2 and v1
OF_CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# parts of torch's messages, in a RuntimeError, for a size beyond 64 bits a TypeError, and when its
# libraries are mapped an ImportError
OF_TORCH = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "calculation overflowed",
    "multiplication overflow",
    "maybe an overflow",
    "Overflow when unpacking",
    "bad_alloc",
    "failed to map segment",
)


def memory_at_hand() -> float:
    """Returns the bytes of memory that this process can have at most.

    That is the machine's memory, or a lower limit of its container or of `ulimit -v`. It is
    infinite where none of them is known.
    """
    limits = [math.inf]
    with suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for place in OF_CONTAINER:
        with suppress(OSError, ValueError):  # ValueError: the file says "max"
            limits.append(int(Path(place).read_text(encoding="ascii")))
    if resource is not None:
        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])  # below 0: no limit
    return min(limit for limit in limits if limit > 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error says that memory could not be allocated."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, RuntimeError | TypeError | ImportError):
        return any(part in str(error) for part in OF_TORCH)
    return isinstance(error, MemoryError)


def out_of_memory() -> str:
    """Returns the line for an error of used-up memory."""
    return (
        f"out of memory: {in_words(memory_at_hand())} are not enough for this configuration and its"
        " data; lower dataset.batch_size or a width of the model, or use a machine with more memory"
    )


def in_words(size: float) -> str:
    """Returns a number of bytes as text, '3.2 GB'."""
    for unit, name in ((1e18, "EB"), (1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 1e21 else "more than 1000 EB"
    return f"{size / 1e3:.1f} kB"
