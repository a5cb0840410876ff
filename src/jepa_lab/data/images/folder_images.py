"""The images of files in folders, decoded when they are read."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from jepa_lab.data.images.image_files import opened, read_image, unreadable
from jepa_lab.data.images.pixels import Look
from jepa_lab.data.images.unread import StoredImages, keys_of
from jepa_lab.errors import UserError
from jepa_lab.files.images import OtherPixels

DECODED = 64  # images decoded before they are handed on


class FolderImages(StoredImages):
    """The images of the files of a published set at one size, whose pixels are used as they lie in
    the file."""

    upright = False  # whether images are turned as their metadata says

    def __init__(
        self, paths: Sequence[Path], size: int, origin: str, wanted: int, resizable: bool = False
    ) -> None:
        super().__init__(origin, (len(paths), 3, size, size), resizable=resizable, wanted=wanted)
        self.paths, self.size = paths, size
        self.look: Look | None = None

    def blocks(self) -> Iterator[Tensor]:
        return (self.image(row)[None] for row in range(len(self.paths)))

    def take(self, rows: Tensor) -> Tensor:
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for i, row in enumerate(rows.tolist()):
            images[i] = self.image(row)
        return images

    def image(self, row: int) -> Tensor:
        """Decodes one image (3, size, size). Raises UserError with the name of its file."""
        return read_image(self.paths[row], self.size, self.origin, self.look, self.upright)


class OwnFolderImages(FolderImages):
    """The images of the files of a user's folder, which are turned upright and have a common
    look."""

    upright = True

    def __init__(
        self, top: Path, paths: Sequence[Path], size: int, origin: str, wanted: int
    ) -> None:
        super().__init__(paths, size, origin, wanted, resizable=True)
        self.top = top
        self.written: list[tuple[int, int]] = []  # size and time of every file, once they are known

    def take(self, rows: Tensor) -> Tensor:
        images = super().take(rows)
        if not self.hashes:
            self.hashes = keys_of(images)
        return images

    def chosen(self, rows: Tensor) -> Iterator[Tensor]:
        return decoded_in_threads(self._unchanged, rows)

    def prepare(self) -> list[str]:
        every = ((path, path) for path in self.paths)
        self.look, notes = common_look(every, len(self.paths), self.origin)
        return notes

    def notes(self) -> list[str]:
        """Returns a line if more than half of the images are copies of others. Of files that no
        hash divides, only the images that were read are compared."""
        return copies_note(self.hashes)

    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        self.written = [self._written(path) for path in self.paths]
        for path, written in zip(self.paths, self.written, strict=True):
            name = str(path).removeprefix(str(self.top))
            digest.update(os.fsencode(name) + repr(written).encode())
        return digest.hexdigest()

    def _unchanged(self, row: int) -> Tensor:
        """Decodes one image. Raises UserError for a file that has changed since the fingerprint."""
        path = self.paths[row]
        image = self.image(row)
        if self._written(path) != self.written[row]:
            raise UserError(
                f"{self.origin}: {path} has changed while the images were decoded; start again when"
                " the folder is complete"
            )
        return image

    def _written(self, path: Path) -> tuple[int, int]:
        try:
            found = path.stat()
        except OSError as error:
            raise unreadable(path, error, self.origin) from error
        return found.st_size, found.st_mtime_ns


def decoded_in_threads(decode: Callable[[int], Tensor], rows: Tensor) -> Iterator[Tensor]:
    """Yields the images at these positions, some at a time. As many threads decode as torch
    has."""
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for some in rows.split(DECODED):
            yield torch.stack(list(threads.map(decode, some.tolist())))


def copies_note(hashes: Sequence[bytes]) -> list[str]:
    """Returns a line if more than half of the images are copies of others."""
    n, distinct = len(hashes), len(set(hashes))
    if 2 * distinct >= n:
        return []
    return [f"only {distinct:,} of {n:,} images differ from each other"]


def common_look(
    files: Iterable[tuple[Path | str, Path | io.BytesIO]], n: int, origin: str
) -> tuple[Look, list[str]]:
    """Returns what n images, as pairs (name in messages, file), have in common, and lines with what
    a reader should know of it."""
    look = Look()
    for name, file in files:
        with opened(file, name, origin) as image:
            try:
                look = look.plus(image)
            except Exception as error:  # PIL raises many types for a broken file
                raise unreadable(name, error, origin) from error
    try:
        return look, look.notes(n)
    except OtherPixels as error:
        raise UserError(
            f"{origin}: {look.deep} of {n} images have {error}; save them as grey or RGB of 8 or 16"
            " bits"
        ) from None
