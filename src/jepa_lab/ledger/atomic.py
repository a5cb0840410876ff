"""Writes files whole or not at all: a temporary file beside the target, then fsync and rename."""

import json
import math
import os
import re
import socket
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from jepa_lab.process.alive import process_exists

HOST = f"{zlib.crc32(socket.gethostname().encode()) & 0xFFFF:04x}"
TEMPORARY = ".*.[0-9]*-*.tmp"  # pattern of the names below, for files that a kill left behind


def temporary_beside(path: Path) -> Path:
    """Returns an unused name in the folder of `path`, `.NAME.PID-HOSTRANDOM.tmp`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{HOST}{uuid4().hex[:8]}.tmp")


def remove_leftovers(folder: Path, deep: bool = False) -> None:
    """Removes temporary files in a folder (with `deep` also below it) whose writer was killed. The
    files of other hosts stay, since their processes cannot be asked."""
    for path in folder.rglob(TEMPORARY) if deep else folder.glob(TEMPORARY):
        writer = re.fullmatch(rf"\..*\.([0-9]+)-{HOST}[0-9a-f]{{8}}\.tmp", path.name)
        if writer is not None and not process_exists(int(writer[1])):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def replace_file(tmp: Path, path: Path) -> None:
    """Moves the finished file `tmp` to `path`, durably. If it fails or is interrupted, the old file
    stays and `tmp` is removed."""
    try:
        with open(tmp, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(tmp, path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: bytes | memoryview | str) -> None:
    """Writes `content` (text as UTF-8) to `path`. A reader sees the old file or the new one, never
    a part."""
    path = Path(path)
    tmp = temporary_beside(path)
    try:
        tmp.write_bytes(content.encode() if isinstance(content, str) else content)
    except BaseException as error:
        tmp.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # the error of a full disk has no filename
        raise
    replace_file(tmp, path)


def write_json(path: Path, obj: Any) -> None:
    """Writes `obj` as strict JSON with its keys in order. NaN and infinities become null, which
    every reader accepts."""
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
    """Makes the renames in `folder` durable, so that they survive a power cut."""
    # Windows cannot open a folder, and needs no sync
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
