"""The limits on files that others made. SECURITY.md lists their values."""

from __future__ import annotations

import stat
from pathlib import Path

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
