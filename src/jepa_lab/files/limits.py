"""The limits on files that others made, whose values SECURITY.md lists, and the limit on memory."""

from __future__ import annotations

import math
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

resource: Any
try:
    import resource
except ImportError:  # Windows
    resource = None

MB = 2**20

# bytes of a YAML or JSON file, such as those of a run
TEXT_BYTES = 16 * MB
# bytes of a file of ARC tasks, after unpacking
TASK_BYTES = 256 * MB
# values in a YAML file, counting every use of an alias
YAML_VALUES = 10_000
# levels of nesting in YAML and JSON
DEPTH = 50
# bytes of an array or of all arrays of an archive, in memory
ARRAY_BYTES = 24 * 2**30
# a compressed array above UNPACKED_BYTES must not grow by more than UNPACKED_RATIO
UNPACKED_BYTES = 256 * MB
UNPACKED_RATIO = 200
# pixels of an image
PIXELS = 89_478_485
# bytes of the footer of a Parquet file
FOOTER_BYTES = 64 * MB
# rows of a table, and bytes of its columns before compression
TABLE_ROWS = 50_000_000
TABLE_BYTES = 4 * 2**30
# limits of a container, in the files of cgroup v2 and v1
OF_CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class OverLimit(ValueError):
    """A file exceeds a limit. The text is the reason, without the name of the file."""


def size_text(n_bytes: int) -> str:
    """Returns a number of bytes as text, as in 16 MB or 279 GB."""
    return f"{n_bytes / MB:,.0f} MB" if n_bytes < 10 * 2**30 else f"{n_bytes / 2**30:,.0f} GB"


def require_regular(path: Path) -> None:
    """Raises OverLimit for a pipe or a device, which may have no end, and OSError if there is no
    file. A folder passes: to open it is an error anyway."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OverLimit("a pipe or a device; a file is needed")


def size_within(path: Path, most: int) -> int:
    """Returns the bytes of a file. Raises OverLimit for more than `most`, and otherwise as
    `require_regular` does."""
    require_regular(path)
    size = path.stat().st_size
    if size > most:
        raise OverLimit(f"{size_text(size)}; at most {size_text(most)} are read")
    return size


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
