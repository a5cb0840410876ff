"""Reads .npy and .npz files within limits. Python objects in them are never unpickled."""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jepa_lab.files import limits
from jepa_lab.files.archives import BROKEN, open_archive
from jepa_lab.files.limits import OverLimit, size_text

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes


UNREADABLE = "?"


class Header(NamedTuple):
    """The shape of an array in a file, and the kind of its values as `numpy.dtype.kind` has it: f
    for fractions, i and u for whole numbers, b, U for text, O for objects. It is UNREADABLE for a
    part without a readable header."""

    shape: tuple[int, ...]
    kind: str


class PythonObjects(ValueError):
    """The array `name` holds Python objects, which are not read, since reading them runs code.
    `name` is empty for an .npy file."""

    def __init__(self, name: str = "") -> None:
        super().__init__(f"{name}: Python objects" if name else "Python objects")
        self.name = name


def read_npy(path: Path) -> np.ndarray:
    """Returns the array in an .npy file.

    Raises OverLimit for an array of more than limits.ARRAY_BYTES, and PythonObjects. Raises
    ValueError for any other file that is not an array of plain values, and OSError if it cannot be
    read.
    """
    limits.require_regular(path)
    return _array(lambda: path.open("rb"), path.stat().st_size)


def read_npz(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """Returns the wanted arrays of an .npz file by name, and an empty array for every other name.

    Raises OverLimit if the arrays have more than limits.ARRAY_BYTES in total, and for a small file
    that unpacks to a large array (see limits.UNPACKED_RATIO), and PythonObjects with the name of
    the array. Raises ValueError for any other file, and OSError if it cannot be read.
    """
    limits.require_regular(path)
    require_archive(path)
    with open_archive(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = {name: info for name, info in entries.items() if wanted(name)}
        _require_size(sum(info.file_size for info in chosen.values()))
        found = {name: np.empty(0) for name in entries}
        for name, info in chosen.items():
            require_honest(name, info)
            try:
                found[name] = _array(partial(archive.open, info), info.file_size)
            except PythonObjects:
                raise PythonObjects(name) from None
            except OverLimit as error:
                raise OverLimit(f"{name}: {error}") from None
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return found


def npz_headers(path: Path) -> dict[str, Header]:
    """Returns the shapes of all arrays of an .npz file by name, without their values. Raises
    ValueError for a file that is no .npz, and OSError if it cannot be read."""
    limits.require_regular(path)
    require_archive(path)
    found = {}
    with open_archive(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            found[name] = Header((), UNREADABLE)
            with suppress(ValueError, *BROKEN), archive.open(info) as file:
                shape, dtype, _ = read_header(file)
                found[name] = Header(shape, dtype.kind)
    return found


def require_archive(path: Path) -> None:
    """Raises ValueError for an .npy file, which is no .npz."""
    if path.is_file() and is_npy(path):
        raise ValueError("it is a single array, as numpy.save writes it")


def is_npy(path: Path) -> bool:
    """Returns whether a file begins as an .npy file. Raises OSError if it cannot be read."""
    limits.require_regular(path)
    with open(path, "rb") as file:
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


def require_honest(name: str, info: zipfile.ZipInfo) -> None:
    """Raises OverLimit for an entry that unpacks to far more than its size in the file."""
    if info.compress_type not in METHODS:
        raise ValueError(f"{name}: packed by a method that numpy.savez does not use")
    most = max(limits.UNPACKED_BYTES, limits.UNPACKED_RATIO * info.compress_size)
    if info.file_size > most:
        raise OverLimit(
            f"{name}: {size_text(info.compress_size)} that unpack to {size_text(info.file_size)};"
            f" at most {limits.UNPACKED_RATIO} times the size is unpacked"
        )


def _require_size(n_bytes: int) -> None:
    if n_bytes > limits.ARRAY_BYTES:
        raise OverLimit(
            f"{size_text(n_bytes)} of arrays; at most {size_text(limits.ARRAY_BYTES)} are read"
        )


def _array(open_it: Callable[[], IO[bytes]], size: int) -> np.ndarray:
    """Returns the array in a file of `size` bytes, which must hold all of it and nothing else. The
    header is compared with the size before memory is taken."""
    with open_it() as file:
        shape, dtype, _ = whole_header(file, size)
    claimed = math.prod(shape) * dtype.itemsize
    _require_size(claimed)
    with open_it() as file:  # opened again, since a seek stops zipfile from comparing the checksum
        try:
            array: Any = np.lib.format.read_array(file, allow_pickle=False)
        except MemoryError:
            raise OverLimit(f"{size_text(claimed)}, more than the memory of this machine") from None
        if file.read(1):  # at the end zipfile compares the checksum
            raise ValueError("bytes are left over after the array")
    return np.asarray(array)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Returns the shape and the type that the header of an array has, and whether the first index
    varies fastest. Raises ValueError for a header that NumPy does not write."""
    header = HEADERS.get(np.lib.format.read_magic(file))
    if header is None:
        raise ValueError("a version of the .npy format that is not read")
    try:
        shape, columns_first, dtype = header(file)
    except (RecursionError, MemoryError, SyntaxError, tokenize.TokenError):
        raise ValueError("a header that cannot be parsed") from None
    if any(type(length) is not int or length < 0 for length in shape) or dtype.itemsize == 0:
        raise ValueError(f"a header with the impossible type {dtype} or shape {shape}")
    return shape, dtype, columns_first


def whole_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Returns the header as `read_header` does. Raises PythonObjects, and ValueError unless the
    array that it describes is all that follows in a file of `size` bytes."""
    shape, dtype, columns_first = read_header(file)
    if dtype.hasobject:
        raise PythonObjects
    claimed, rest = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed > rest:
        _require_size(claimed)
        raise ValueError(f"the header claims {size_text(claimed)}, the file has {size_text(size)}")
    if claimed < rest:
        raise ValueError(
            f"{rest - claimed:,} bytes are left over after the array of shape {shape}; its header"
            " is damaged, or more than one array was written"
        )
    return shape, dtype, columns_first
