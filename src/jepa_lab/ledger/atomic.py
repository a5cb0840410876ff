"""Files that are written whole or not at all: a temporary file beside the target, fsync, rename."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that no other writer uses; `.NAME.*.tmp` finds what a kill
    left behind."""
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}.tmp")


def replace_file(tmp: Path, path: Path) -> None:
    """Put the finished file `tmp` in the place of `path`, durably. On OSError the old file stays
    and `tmp` goes."""
    try:
        with open(tmp, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(tmp, path)
    except OSError:
        tmp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: bytes | memoryview | str) -> None:
    """Write `content` (text as UTF-8) to `path`; a reader sees the old file or the new one, never a
    part of one."""
    path = Path(path)
    tmp = temporary_beside(path)
    try:
        tmp.write_bytes(content.encode() if isinstance(content, str) else content)
    except BaseException as error:
        tmp.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say where
        raise
    replace_file(tmp, path)


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` as strict JSON, keys in their order; NaN and infinities become null, which every
    reader accepts."""
    write_atomic(path, json.dumps(_plain(obj), indent=2, allow_nan=False) + "\n")


def _plain(obj: Any) -> Any:
    if isinstance(obj, Mapping):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [_plain(value) for value in obj]
    if isinstance(obj, Path):
        return str(obj)
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else None
    # numpy scalars, arrays and torch tensors, recognised without importing either
    return _plain(obj.tolist()) if hasattr(obj, "tolist") else obj


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` durable."""
    # makes the rename itself survive a power cut; a folder cannot be opened on Windows, and need
    # not be there
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
