"""Reads data sets of HDF5 files within limits. Links to other files are not followed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jepa_lab.files import limits
from jepa_lab.files.arrays import Header, PythonObjects
from jepa_lab.files.extras import import_extra
from jepa_lab.files.limits import OverLimit, size_text

HDF5 = (".h5", ".hdf5", ".hdf")
MOST_PARTS = 10_000  # groups and data sets that are looked at


def hdf5_headers(path: Path) -> dict[str, Header]:
    """Returns the shapes of all data sets by path, for example train/z. Raises as `read_hdf5`
    does."""
    with _opened(path) as (file, library):
        found: dict[str, Header] = {}
        seen = 0

        def look(name: str, part: Any) -> None:
            nonlocal seen
            seen += 1
            if seen > MOST_PARTS:
                raise OverLimit(f"more than the {MOST_PARTS:,} parts that are looked at")
            if isinstance(part, library.Dataset) and part.shape is not None:
                kind = "U" if library.check_string_dtype(part.dtype) else part.dtype.kind
                found[name] = Header(tuple(part.shape), kind)

        file.visititems(look)  # follows neither soft nor external links
        return found


def read_hdf5(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns these data sets of an HDF5 file. Text becomes an array of Python strings.

    Raises OverLimit if they have more than limits.ARRAY_BYTES in total, for a small file that
    unpacks to a large array (see limits.UNPACKED_RATIO), and for data that lie in other files.
    Raises PythonObjects for other types than numbers and text, ValueError for a damaged file,
    OSError if it cannot be read, and UserError if the package h5py is missing.
    """
    with _opened(path) as (file, library):
        chosen = {name: file[name] for name in names}
        total = sum(part.size * part.dtype.itemsize for part in chosen.values())
        if total > limits.ARRAY_BYTES:
            most = size_text(limits.ARRAY_BYTES)
            raise OverLimit(f"{size_text(total)} of arrays; at most {most} are read")
        found = {}
        for name, part in chosen.items():
            _require_honest(name, part)
            if library.check_string_dtype(part.dtype):
                found[name] = np.asarray(part.asstr()[()], dtype=object)
            elif part.dtype.hasobject or part.dtype.names is not None:
                raise PythonObjects(name)
            else:
                found[name] = np.asarray(part[()])
        return found


def _require_honest(name: str, part: Any) -> None:
    """Raises OverLimit for data in other files, and for an array far larger than what the file
    stores of it: the rest would be a constant."""
    if part.is_virtual or part.external:
        raise OverLimit(f"{name}: its data are in other files, which are not read")
    claimed, stored = part.size * part.dtype.itemsize, part.id.get_storage_size()
    if claimed > max(limits.UNPACKED_BYTES, limits.UNPACKED_RATIO * stored):
        raise OverLimit(
            f"{name}: {size_text(stored)} that unpack to {size_text(claimed)}; at most"
            f" {limits.UNPACKED_RATIO} times the size is unpacked"
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a file. Returns it with the library."""
    limits.require_regular(path)
    library = import_extra("h5py", "files")
    try:
        with library.File(path, "r") as file:
            yield file, library
    except (OverLimit, PythonObjects):
        raise
    except MemoryError:
        raise OverLimit("more than the memory of this machine") from None
    except Exception as error:  # h5py raises many types for a broken file
        reason = (str(error).splitlines() or [type(error).__name__])[0][:80]
        raise ValueError(reason) from None
