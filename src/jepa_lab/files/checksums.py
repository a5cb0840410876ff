"""A checksum of the footer of Parquet files.

The format has checksums of its pages, but none of the footer, which holds the names and places of
the columns and the metadata. The checksum stands right before the footer, where the format leaves a
gap: readers find the footer from the end of the file, and the pages by their offsets. Every reader
of Parquet reads such a file.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import BinaryIO

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit, size_text

MARK = b"jepa-lab footer:"  # followed by the CRC-32 of everything after it, little-endian
END = 8  # bytes after the footer: its length, little-endian, and PAR1


def seal(path: Path) -> None:
    """Puts the checksum of its footer into a Parquet file that has none. Raises OSError."""
    with open(path, "rb+") as file:
        footer = _tail(file)
        file.seek(-len(footer), os.SEEK_END)
        file.write(MARK + _sum(footer) + footer)


def footer_is_intact(path: Path) -> bool:
    """Returns whether the footer of a file has its checksum, or the file has none. Raises OverLimit
    for a footer of more than limits.FOOTER_BYTES, and OSError if the file cannot be read."""
    with open(path, "rb") as file:
        footer = _tail(file)
        size, before = file.seek(0, os.SEEK_END), len(MARK) + 4
        if size < len(footer) + before:
            return True
        file.seek(-len(footer) - before, os.SEEK_END)
        mark, expected = file.read(len(MARK)), file.read(4)
    return mark != MARK or expected == _sum(footer)


def _tail(file: BinaryIO) -> bytes:
    """Returns the footer with the bytes after it, or the whole file if that is shorter."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - END, 0))
    length = int.from_bytes(file.read(4), "little") + END
    if min(length, size) > limits.FOOTER_BYTES:
        most = size_text(limits.FOOTER_BYTES)
        raise OverLimit(f"a footer of {size_text(length)}; at most {most} are read")
    file.seek(max(size - length, 0))
    return file.read()


def _sum(footer: bytes) -> bytes:
    return zlib.crc32(footer).to_bytes(4, "little")
