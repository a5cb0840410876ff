"""Images that do not fit into memory: decoded once into a cache on disk, and read from it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from jepa_lab.data.images.memory_limit import bytes_text, memory_limit
from jepa_lab.data.images.shards import INDEX, PART, VERSION, Shards, ShardWriter
from jepa_lab.data.images.unread import StoredImages, Unread
from jepa_lab.errors import UserError, say
from jepa_lab.files.text import parse_json, read_text

LOCK = ".lock"
NAMED = 5  # earlier caches
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class StreamedImages:
    """Images (n, C, H, W) uint8 on disk. An index reads those that it chooses into memory."""

    def __init__(self, shards: Shards, rows: Tensor) -> None:
        self.shards, self.rows = shards, rows

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), *self.shards.shape[1:]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        return self.shards.read(self.rows[index])

    def split(self, size: int) -> Iterator[Tensor]:
        """Yields all images in order, `size` at a time."""
        return map(self.shards.read, self.rows.split(size))

    def fact(self, name: str, compute: Callable[[], Any]) -> Any:
        """Returns a value in JSON that depends on these images alone. It is computed once, and then
        kept beside them."""
        digest = hashlib.blake2b(self.rows.numpy().data, digest_size=8).hexdigest()
        return self.shards.fact(f"{name} of {digest}", compute)


@dataclass(frozen=True)
class Streaming:
    """Which images are streamed, and where their cache lies.

    - memory_gb: the most memory of the images of a run, in GB of 1e9 bytes. Images that take more
      are streamed
    - folder: the folder of all caches, each in a folder of its own
    """

    memory_gb: float
    folder: str | None = None

    def needed(self, n_bytes: int) -> bool:
        """Whether images of this size are streamed."""
        return n_bytes > min(self.memory_gb * 1e9, memory_limit())

    @property
    def top(self) -> Path:
        """The folder of all caches: by default `jepa_lab` in $XDG_CACHE_HOME or ~/.cache."""
        if self.folder is not None:
            return Path(self.folder).expanduser()
        given = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "jepa_lab"


class StreamedSource(StoredImages):
    """The images of another source, which are read from a cache. It is built when it is first
    asked for, by the first process that needs it.

    `data` is the file or the folder with the user's images. Raises UserError for a cache inside a
    folder of images.
    """

    streams = True

    def __init__(self, source: StoredImages, data: Path, streaming: Streaming) -> None:
        super().__init__(source.origin, source.shape, source.resizable, source.wanted)
        self.source, self.data, self.top = source, data, streaming.top
        self._rows = torch.arange(0)
        self._shards: Shards | None = None
        if data.is_dir() and self.top.resolve().is_relative_to(data.resolve()):
            raise UserError(
                f"dataset.cache={self.top}: lies in the folder of the images; name another folder"
            )

    def blocks(self) -> Iterator[Tensor]:
        return self.source.blocks()

    def take(self, rows: Tensor) -> Tensor:
        self.complete(rows)
        return self.part(rows)[:]

    def keys(self) -> list[bytes]:
        """Returns a hash of every image's bytes. All images are in the cache from then on."""
        if not self.hashes:
            self.complete(torch.arange(self.shape[0]))
            assert self._shards is not None
            self.hashes = self._shards.keys()
        return self.hashes

    def complete(self, rows: Tensor) -> None:
        """Makes the images at these distinct positions readable. Only these are in the cache,
        unless all are there already."""
        if self._shards is None:
            self._rows = rows.sort().values
            self._shards = self._opened(self._rows)

    def part(self, rows: Tensor) -> StreamedImages:
        """Returns the images at these positions, in this order."""
        assert self._shards is not None, "complete comes first"
        return StreamedImages(self._shards, torch.searchsorted(self._rows, rows))

    def _opened(self, rows: Tensor) -> Shards:
        """Returns the cache of the images at these positions, which are in order."""
        folder = self.top / self._name(rows)
        if (folder / INDEX).is_file():
            shards = Shards.open(folder)
        else:
            with _writable(self.top), _locked(folder):
                built = (folder / INDEX).is_file()  # by the process that had the lock
                shards = Shards.open(folder) if built else self._build(folder, rows)
        for note in shards.notes:
            say(f"{self.origin}: {note}")
        return shards

    def _name(self, rows: Tensor) -> str:
        """Returns the name of the cache's folder. It differs for other files and other rows."""
        key = hashlib.blake2b(digest_size=8)
        for part in (VERSION, self.data.resolve(), self.shape, self.source.fingerprint()):
            key.update(f"{part}\n".encode())
        key.update(rows.numpy().data)
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", self.data.stem)[:40].strip("_") or "images"
        return f"{plain}-{self.shape[2]}px-{key.hexdigest()}"

    def _build(self, folder: Path, rows: Tensor) -> Shards:
        """Writes the cache, from where an earlier process stopped. Raises UserError for a disk
        without room, before an image is decoded."""
        for part in folder.glob(f"*{PART}"):  # of a process that was killed
            part.unlink()
        self._report_earlier()
        writer = ShardWriter(folder, (len(rows), *self.shape[1:]))
        free, needed = shutil.disk_usage(folder).free, writer.missing_bytes
        if needed > free:
            raise UserError(
                f"dataset.cache={self.top}: the decoded images take {bytes_text(needed)}, and"
                f" {bytes_text(free)} are free there; free some, or name another folder"
            )
        n, done = len(rows), writer.done
        more = f", {done:,} are there already" if done else ""
        size = bytes_text(n * writer.row_bytes)
        say(
            f"{self.origin}: {n:,} images take {size}, more than dataset.memory_gb allows; they are"
            f" decoded once into {folder}{more}"
        )
        notes = self.source.prepare()
        # none on a pipe or in a file
        with tqdm(total=n, initial=done, desc="decoding", unit=" images", disable=None) as bar:
            for written in writer.write(self.source.chosen(rows[done:])):
                bar.update(written)
        self.source.hashes = writer.keys()
        return writer.finish([*notes, *self.source.notes()], str(self.data.resolve()))

    def _report_earlier(self) -> None:
        """Prints a line for caches of the same file or folder, which other runs may still read."""
        source, found = str(self.data.resolve()), []
        for index in self.top.glob(f"*/{INDEX}"):
            with suppress(OSError, ValueError, AttributeError):
                if parse_json(read_text(index)).get("source") == source:
                    found.append(index.parent)
        if found:
            size = sum(x.stat().st_size for folder in found for x in folder.iterdir())
            say(
                f"{self.origin}: earlier caches of it in {self.top} take {bytes_text(size)}; delete"
                f" those that no run needs: {', '.join(x.name for x in found[:NAMED])}"
            )


def streamed(
    source: StoredImages, data: Path, n_bytes: int, streaming: Streaming | None
) -> Unread | None:
    """Returns all images of a source if those that a run keeps, of `n_bytes`, are to be streamed,
    and None if they fit into memory."""
    if streaming is None or not streaming.needed(n_bytes):
        return None
    return Unread.all_of(StreamedSource(source, data, streaming))


@contextmanager
def _writable(top: Path) -> Iterator[None]:
    """Raises UserError for a folder that cannot be written, or is full."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"dataset.cache={top}: cannot write {error.filename or top} ({reason}); free some space"
            " or name another folder, and the same command continues"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Makes the folder, and keeps other processes from writing into it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{folder}: another process decodes these images; waiting for it")
        lock.acquire()
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        # on a file system without locks two processes write the same files
    try:
        yield
    finally:
        lock.release()
