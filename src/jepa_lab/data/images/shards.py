"""Rows of bytes in files of a fixed number of rows each, written once and read by position.

A folder holds `shard-00000.u8`, `shard-00001.u8` and so on, beside each a `.keys` file with a hash
of every row, and at last `index.json`, whose presence says that the others are complete. Nothing in
the folder is executed. Rows are read by position rather than mapped: the memory taken is that of
the rows asked for, and a file that was cut short is an error rather than the end of the process.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.images.unread import KEY_BYTES, keys_of
from jepa_lab.errors import UserError
from jepa_lab.files.text import parse_json, read_text

VERSION = 1  # of the layout of the files and of the content of the index
SHARD_BYTES = 128 * 2**20  # of a file, about; held in memory until it is written
CHECKED_BYTES = 4 * 2**20  # read at once to check a file
INDEX, FACTS, PART = "index.json", "facts.json", ".part"


class Shards:
    """The N rows (N, C, H, W) uint8 of a folder, which is complete.

    - notes: what a user should know about the images, one line each
    """

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder, self.index = folder, index
        n, channels, height, width = (int(x) for x in index["shape"])
        self.shape = (n, channels, height, width)
        self.each = int(index["each"])
        self.notes = [str(x) for x in index["notes"]]
        self.row_bytes = math.prod(self.shape[1:])

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Opens a complete folder. Raises UserError, with the folder to delete, for an index that
        cannot be read, and for a file that is missing, cut short or, where it was written to or
        copied since, changed."""
        try:
            index = parse_json(read_text(folder / INDEX))
            shards = cls(folder, index)
            times = [int(x) for x in index["written"]]
            complete = index["version"] == VERSION and len(times) == shards._count()
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
            complete = False
        if not complete:
            raise damaged(folder, f"{INDEX} cannot be read")
        found = [shards._require_shard(k, time) for k, time in enumerate(times)]
        if found != times:  # they were copied
            with suppress(OSError):
                write_whole(folder / INDEX, json.dumps({**index, "written": found}).encode())
        return shards

    def read(self, rows: Tensor) -> Tensor:
        """Returns the rows at these positions, in this order. Raises UserError for a file that has
        changed since it was opened."""
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        flat = images.view(len(rows), -1).numpy()
        places = rows.numpy()
        order = np.argsort(places, kind="stable")
        shard_of = places[order] // self.each
        for shard in np.unique(shard_of).tolist():
            path = self.path(shard)
            try:
                with open(path, "rb", buffering=0) as file:
                    for i in order[shard_of == shard].tolist():
                        file.seek((int(places[i]) - shard * self.each) * self.row_bytes)
                        if file.readinto(flat[i].data) != self.row_bytes:
                            raise damaged(self.folder, f"{path.name} is cut short")
            except OSError as error:
                reason = error.strerror or str(error)
                raise damaged(self.folder, f"{path.name} cannot be read ({reason})") from error
        return images

    def keys(self) -> list[bytes]:
        """Returns the hash of every row's bytes, see keys_of."""
        return [
            key for k in range(self._count()) for key in read_keys(self.folder, k, self._rows(k))
        ]

    def path(self, shard: int) -> Path:
        return shard_path(self.folder, shard)

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        """Returns a value in JSON that depends on the rows alone. It is computed once, and kept in
        the folder if that can be written."""
        facts: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            facts = dict(parse_json(read_text(self.folder / FACTS)))
        if name not in facts:
            facts[name] = compute()
            with suppress(OSError):
                write_whole(self.folder / FACTS, json.dumps(facts).encode())
        return facts[name]

    def _count(self) -> int:
        return -(-self.shape[0] // self.each)

    def _rows(self, shard: int) -> int:
        return min(self.each, self.shape[0] - shard * self.each)

    def _require_shard(self, shard: int, written: int) -> int:
        """Returns when a file was written, in ns. Raises UserError for a damaged one."""
        path, needed = self.path(shard), self._rows(shard) * self.row_bytes
        try:
            found = path.stat()
        except OSError:
            raise damaged(self.folder, f"{path.name} is missing") from None
        if found.st_size != needed:
            raise damaged(self.folder, f"{path.name} has {found.st_size:,} of {needed:,} bytes")
        if found.st_mtime_ns != written and not self._is_unchanged(shard):
            raise damaged(self.folder, f"{path.name} has other bytes than were written")
        return found.st_mtime_ns

    def _is_unchanged(self, shard: int) -> bool:
        keys = read_keys(self.folder, shard, self._rows(shard))
        step = max(1, CHECKED_BYTES // self.row_bytes)
        rows = torch.arange(len(keys)) + shard * self.each
        return keys == [key for some in rows.split(step) for key in keys_of(self.read(some))]


class ShardWriter:
    """Writes rows of this shape (N, C, H, W) uint8 into a folder, which must exist. Files that an
    earlier writer completed are kept, so that `done` rows are there already.

    Raises OSError for a folder that cannot be written.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int, int]) -> None:
        self.folder, self.shape = folder, shape
        self.row_bytes = math.prod(shape[1:])
        self.each = max(1, SHARD_BYTES // self.row_bytes)
        self.shard = 0
        while self.done < shape[0] and self._is_written(self.shard):
            self.shard += 1

    @property
    def done(self) -> int:
        return min(self.shape[0], self.shard * self.each)

    @property
    def missing_bytes(self) -> int:
        return (self.shape[0] - self.done) * self.row_bytes

    def write(self, blocks: Iterator[Tensor]) -> Iterator[int]:
        """Writes the rows from `done` on, some at a time. Yields the number of rows of each
        block."""
        shard: list[Tensor] = []
        for block in blocks:
            rest = block
            while len(rest):
                room = self.each - sum(map(len, shard))
                shard.append(rest[:room])
                rest = rest[room:]
                if sum(map(len, shard)) == self._rows_of(self.shard):
                    self._close(shard)
                    shard = []
            yield len(block)

    def keys(self) -> list[bytes]:
        """Returns the hash of every row's bytes, once all are written."""
        return [
            key for k in range(self.shard) for key in read_keys(self.folder, k, self._rows_of(k))
        ]

    def finish(self, notes: list[str], source: str) -> Shards:
        """Writes the index and opens the folder. `source` says in the index whose images these
        are."""
        written = [shard_path(self.folder, k).stat().st_mtime_ns for k in range(self.shard)]
        index = {"version": VERSION, "source": source, "shape": self.shape, "each": self.each}
        text = json.dumps({**index, "notes": notes, "written": written})
        write_whole(self.folder / INDEX, text.encode())
        return Shards.open(self.folder)

    def _rows_of(self, shard: int) -> int:
        return min(self.each, self.shape[0] - shard * self.each)

    def _close(self, blocks: list[Tensor]) -> None:
        keys = [key for block in blocks for key in keys_of(block)]
        write_whole(keys_path(self.folder, self.shard), b"".join(keys))
        write_whole(
            shard_path(self.folder, self.shard), *(x.contiguous().numpy().data for x in blocks)
        )
        self.shard += 1

    def _is_written(self, shard: int) -> bool:
        n = self._rows_of(shard)
        sizes = {
            shard_path(self.folder, shard): n * self.row_bytes,
            keys_path(self.folder, shard): n * KEY_BYTES,
        }
        return all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())


def shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.u8"


def keys_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.keys"


def read_keys(folder: Path, shard: int, n: int) -> list[bytes]:
    """Returns the hashes of the n rows of a file. Raises UserError if they are not there."""
    path = keys_path(folder, shard)
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if len(content) != KEY_BYTES * n:
        raise damaged(folder, f"{path.name} is missing or cut short")
    return [content[at : at + KEY_BYTES] for at in range(0, len(content), KEY_BYTES)]


def write_whole(path: Path, *content: bytes | memoryview) -> None:
    """Writes a file durably. A reader sees the old file or the new one, never a part. Raises
    OSError, with the name of the file."""
    part = path.with_name(f"{path.name}.{uuid4().hex[:8]}{PART}")
    try:
        with open(part, "wb") as file:
            for piece in content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # the error of a full disk has no filename
        raise


def damaged(folder: Path, reason: str) -> UserError:
    """Returns the error for a cache that cannot be used."""
    return UserError(
        f"{folder}: this cache of images is damaged ({reason}); delete the folder, and the same"
        " command builds it again"
    )
