"""Opens zip archives (.npz and the files of torch.save) after a check of their directory.

A zip file says the name, size and checksum of every part twice: right before the part and in the
directory at its end. Readers believe the directory, which has no checksum of its own.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DAMAGED = "its directory is damaged"
# the header before a part: flags, method, checksum, packed size, size, lengths of name and extra
LOCAL = struct.Struct("<4s2xHH4xIIIHH")
END = struct.Struct("<10xH8x2x")  # the end of an archive: the number of its parts
LATER, UTF8 = 0x8, 0x800  # flags: sizes follow after the part, the name is UTF-8
PASSWORD = 0x1
FLAGS = LATER | UTF8 | 0x6  # and two for the strength of the compression
FOLDER = 0x10  # the attribute of a folder in DOS
IN_ANOTHER = 0xFFFF  # a number that stands in another record
IN_EXTRA = 0xFFFFFFFF  # a size that stands in the extra field
# RuntimeError: a password; NotImplementedError: a version or a method that Python lacks
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, struct.error)


def is_archive(path: Path) -> bool:
    """Returns whether a file is a zip archive, damaged or not."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # an archive in several files, which damage can claim
        return True


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens an archive whose directory agrees with the headers of all parts.

    Raises ValueError for any other file, for the same name twice, and for every error of zipfile
    within the context. Raises OSError if the file cannot be read.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            _require_whole_directory(archive, file)
            yield archive
    except BROKEN as error:
        raise ValueError(str(error) or type(error).__name__) from error


def require_stored(archive: zipfile.ZipFile) -> None:
    """Raises ValueError for an archive that torch.save does not write: with folders, with packed
    parts, or with a wrong checksum. PyTorch returns memory of chance for a part that is marked as a
    folder."""
    for part in archive.infolist():
        if part.is_dir() or part.external_attr & FOLDER:
            raise ValueError(DAMAGED)
        if part.compress_type != zipfile.ZIP_STORED or part.file_size != part.compress_size:
            raise ValueError("its parts are compressed or overlap")
    if archive.testzip() is not None:  # torch.load does not verify checksums
        raise ValueError("wrong checksum")


def _require_whole_directory(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    """Raises ValueError unless the directory names every part once, as its header does."""
    names = set()
    file.seek(-END.size - len(archive.comment), os.SEEK_END)
    (count,) = END.unpack(file.read(END.size))
    if count not in (len(archive.infolist()), IN_ANOTHER):  # a part can hide in a comment
        raise ValueError(DAMAGED)
    for part in archive.infolist():
        if part.filename in names:
            raise ValueError(f"the name {part.filename!r} twice")
        names.add(part.filename)
        if part.flag_bits & PASSWORD:
            raise ValueError("encrypted")
        if part.header_offset < 0 or not _agrees(part, file):
            raise ValueError(DAMAGED)


def _agrees(part: zipfile.ZipInfo, file: BinaryIO) -> bool:
    """Returns whether the header before a part says the same as the directory."""
    file.seek(part.header_offset)
    start, flags, method, crc, packed, size, n_name, n_extra = LOCAL.unpack(file.read(LOCAL.size))
    name, extra = file.read(n_name), file.read(n_extra)
    if IN_EXTRA in (packed, size):
        packed, size = _sizes(extra, packed, size)
    wanted = (part.CRC, part.compress_size, part.file_size)
    found = (crc, packed, size)
    if flags & LATER:  # zeros, or the values
        found = (crc or part.CRC, packed or part.compress_size, size or part.file_size)
    return (
        start == b"PK\x03\x04"
        and (flags, method, found) == (part.flag_bits, part.compress_type, wanted)
        and not flags & ~FLAGS
        and name.decode("utf-8" if flags & UTF8 else "cp437", "replace") == part.orig_filename
        and part.volume == 0
    )


def _sizes(extra: bytes, packed: int, size: int) -> tuple[int, int]:
    """Returns (packed size, size) with the values of the extra field for those that stand there."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 1:  # the size comes first
            if size == IN_EXTRA:
                size, field = int.from_bytes(field[:8], "little"), field[8:]
            if packed == IN_EXTRA:
                packed = int.from_bytes(field[:8], "little")
    return packed, size
