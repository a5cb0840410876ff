"""Reads .npy and .npz files within limits. Python objects in them are never unpickled."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit, size_text

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# RuntimeError: a password; NotImplementedError: a compression that this Python lacks
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes


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
    with open(path, "rb") as file:
        return _array(file, os.fstat(file.fileno()).st_size)


def read_npz(
    path: Path, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, np.ndarray]:
    """Returns the wanted arrays of an .npz file by name, and an empty array for every other name.

    Raises OverLimit if the arrays have more than limits.ARRAY_BYTES in total, and for a small file
    that unpacks to a large array (see limits.UNPACKED_RATIO), and PythonObjects with the name of
    the array. Raises ValueError for any other file, and OSError if it cannot be read.
    """
    limits.require_regular(path)
    try:
        return _read_npz(path, wanted)
    except BROKEN as error:
        if _is_npy(path):
            raise ValueError("it is a single array, as numpy.save writes it") from None
        raise ValueError(str(error) or type(error).__name__) from error


def _read_npz(path: Path, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = {name: info for name, info in entries.items() if wanted(name)}
        _require_size(sum(info.file_size for info in chosen.values()))
        found = {name: np.empty(0) for name in entries}
        for name, info in chosen.items():
            _require_honest(name, info)
            with archive.open(info) as file:
                try:
                    found[name] = _array(file, info.file_size)
                except PythonObjects:
                    raise PythonObjects(name) from None
                except OverLimit as error:
                    raise OverLimit(f"{name}: {error}") from None
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from error
        return found


def _is_npy(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX


def _require_honest(name: str, info: zipfile.ZipInfo) -> None:
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


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """Returns the array in a file of `size` bytes, which must hold all of it. The header is
    compared with the size before memory is taken."""
    header = HEADERS.get(np.lib.format.read_magic(file))
    if header is None:
        raise ValueError("a version of the .npy format that is not read")
    try:
        shape, _, dtype = header(file)
    except (RecursionError, MemoryError, SyntaxError, tokenize.TokenError):
        raise ValueError("a header that cannot be parsed") from None
    if dtype.hasobject:
        raise PythonObjects
    claimed = math.prod(map(int, shape)) * dtype.itemsize
    if dtype.itemsize == 0 or min(shape, default=1) < 0:
        raise ValueError(f"a header with the impossible type {dtype} or shape {shape}")
    _require_size(claimed)
    if claimed > size - file.tell():
        raise ValueError(f"the header claims {size_text(claimed)}, the file has {size_text(size)}")
    file.seek(0)
    try:
        array: Any = np.lib.format.read_array(file, allow_pickle=False)
    except MemoryError:
        raise OverLimit(f"{size_text(claimed)}, more than the memory of this machine") from None
    return np.asarray(array)
