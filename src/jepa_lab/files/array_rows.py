"""Reads rows of the arrays of an .npz file, or of an .npy file, a block at a time, so that the
memory taken does not grow with the array."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from jepa_lab.files import limits
from jepa_lab.files.archives import LOCAL, open_archive
from jepa_lab.files.arrays import (
    PythonObjects,
    read_npy,
    read_npz,
    require_archive,
    require_honest,
    whole_header,
)
from jepa_lab.files.limits import OverLimit

PIECE = 2**20  # bytes read at once
BLOCK = 2**22  # bytes of the rows of a block, about


@dataclass(frozen=True)
class ArrayRows:
    """An array in a file whose rows, the entries of its first index, are read on demand.

    - part: name of the part of an .npz file, "" for an .npy file
    - start: position in the file of the first row, or None for rows that are compressed or do not
      lie one after another
    - columns_first: whether the first index varies fastest, so that the array is read whole
    """

    path: Path
    name: str
    part: str
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int | None
    columns_first: bool

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields all rows in order, some of them at a time. Raises ValueError for an array that is
        damaged, at its end for a wrong checksum, and OSError if the file cannot be read."""
        each = max(1, BLOCK // max(1, self._row_bytes()))
        if self.columns_first:
            whole = self._whole()
            yield from (whole[at : at + each] for at in range(0, len(whole), each))
            return
        try:
            with self._opened() as (file, size):
                whole_header(file, size)
                for at in range(0, self.shape[0], each):
                    rows = np.empty((min(each, self.shape[0] - at), *self.shape[1:]), self.dtype)
                    _fill(file, rows)
                    yield rows
                file.read(1)  # at the end zipfile compares the checksum
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error

    def take(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        """Yields these rows in this order, some of them at a time. Reads nothing else, and
        therefore compares no checksum. Needs `start`."""
        assert self.start is not None
        each = max(1, BLOCK // max(1, self._row_bytes()))
        with open(self.path, "rb", buffering=0) as file:
            for at in range(0, len(rows), each):
                some = rows[at : at + each]
                block = np.empty((len(some), *self.shape[1:]), self.dtype)
                for row, into in zip(some, block, strict=True):
                    file.seek(self.start + row * self._row_bytes())
                    if file.readinto(into.reshape(-1).view(np.uint8).data) != self._row_bytes():
                        raise ValueError(f"{self.name}: the file has changed")
                yield block

    def _whole(self) -> np.ndarray:
        if not self.part:
            return read_npy(self.path)
        return read_npz(self.path, self.name.__eq__)[self.name]

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], int]]:
        """Opens the file of the array. Yields it with its size."""
        if not self.part:
            with open(self.path, "rb") as file:
                yield file, self.path.stat().st_size
            return
        with open_archive(self.path) as archive, archive.open(self.part) as part:
            yield part, archive.getinfo(self.part).file_size

    def _row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def npz_rows(path: Path, wanted: Callable[[str], bool]) -> dict[str, ArrayRows]:
    """Returns the wanted arrays of an .npz file by name, with their headers read and no row.

    Raises OverLimit for a small file that unpacks to a large array (see limits.UNPACKED_RATIO), and
    PythonObjects with the name of the array. Raises ValueError for any other file, and OSError if
    it cannot be read.
    """
    limits.require_regular(path)
    require_archive(path)
    found = {}
    with open_archive(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if wanted(name):
                require_honest(name, info)
                found[name] = _rows(path, name, archive, info)
    return found


def npy_rows(path: Path, name: str) -> ArrayRows:
    """Returns the array of an .npy file under a name, with its header read and no row. Raises
    PythonObjects, ValueError for any other file, and OSError if it cannot be read."""
    limits.require_regular(path)
    with open(path, "rb") as file:
        shape, dtype, columns_first = whole_header(file, path.stat().st_size)
        header = file.tell()
    columns_first = columns_first and len(shape) > 1
    return ArrayRows(path, name, "", shape, dtype, None if columns_first else header, columns_first)


def _rows(path: Path, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayRows:
    try:
        with archive.open(info) as file:
            shape, dtype, columns_first = whole_header(file, info.file_size)
            header = file.tell()
    except PythonObjects:
        raise PythonObjects(name) from None
    except OverLimit as error:
        raise OverLimit(f"{name}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    columns_first = columns_first and len(shape) > 1
    start = None
    if info.compress_type == zipfile.ZIP_STORED and not columns_first:
        start = _content(path, info) + header
    return ArrayRows(path, name, info.filename, shape, dtype, start, columns_first)


def _content(path: Path, info: zipfile.ZipInfo) -> int:
    """Returns the position of the content of a part, after the header before it."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        *_, n_name, n_extra = LOCAL.unpack(file.read(LOCAL.size))
    return info.header_offset + LOCAL.size + int(n_name) + int(n_extra)


def _fill(file: IO[bytes], rows: np.ndarray) -> None:
    """Reads into rows (n, ...) until they are full."""
    view, at = rows.reshape(-1).view(np.uint8).data, 0
    while at < len(view):
        piece = file.read(min(PIECE, len(view) - at))
        if not piece:
            raise ValueError("the file has ended")
        view[at : at + len(piece)] = piece
        at += len(piece)
