"""Images of a file or a folder that are not read yet. Which of them a run keeps is decided on their
positions, and then only these are held in memory."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.data.images.memory_limit import memory_limit

HELD_BYTES = 256 * 2**20  # images of a source that are kept from the pass that hashes them
HELD_RATIO = 1.3  # more are kept if they are at most this many times those that a run keeps
KEY_BYTES = 16  # of the hash of an image


class StoredImages(ABC):
    """The N images of a file or a folder.

    - origin: the setting that names the file or folder, for messages
    - shape: (N, C, H, W) of all images in uint8
    - resizable: whether dataset.image_size sets H and W
    - wanted: number of images that the run keeps, about
    - streams: whether the images stay on disk, see StreamedSource
    """

    streams = False

    def __init__(
        self, origin: str, shape: tuple[int, int, int, int], resizable: bool, wanted: int
    ) -> None:
        self.origin, self.shape, self.resizable, self.wanted = origin, shape, resizable, wanted
        self.hashes: list[bytes] = []
        self._held: Tensor | None = None

    @abstractmethod
    def blocks(self) -> Iterator[Tensor]:
        """Yields all images in order, (n, C, H, W) at a time."""

    @abstractmethod
    def take(self, rows: Tensor) -> Tensor:
        """Reads the images at these positions, in this order."""

    def chosen(self, rows: Tensor) -> Iterator[Tensor]:
        """Yields the images at these positions, which are in order, some at a time. Reads all
        images by default."""
        at = 0
        for block in self.blocks():
            low, high = torch.searchsorted(rows, torch.tensor([at, at + len(block)])).tolist()
            if low < high:
                yield block[rows[low:high] - at]
            at += len(block)

    def prepare(self) -> list[str]:
        """Learns what the images have in common, before the first of them is read. Returns what a
        user should know about it, one line each."""
        return []

    def notes(self) -> list[str]:
        """Returns what a user should know about the images that were read, one line each."""
        return []

    def complete(self, rows: Tensor) -> None:
        """Prepares a source that streams for the images at these positions."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Returns a text that changes with the files, from their names, sizes and times alone."""
        raise NotImplementedError

    def keys(self) -> list[bytes]:
        """Returns a hash of every image's bytes. Holds the images for `read` if they are few, or
        not many more than the run keeps."""
        if not self.hashes:
            n, size = self.shape[0], self.shape[1] * self.shape[2] * self.shape[3]
            few = n * size <= HELD_BYTES or n <= HELD_RATIO * self.wanted
            few = few and n * size <= memory_limit()
            held = torch.empty(self.shape, dtype=torch.uint8) if few else None
            for block in self.blocks():
                if held is not None:
                    held[len(self.hashes) : len(self.hashes) + len(block)] = block
                self.hashes += keys_of(block)
            self._held = held
        return self.hashes

    def read(self, rows: Tensor) -> Tensor:
        """Returns the images at these distinct positions, in this order."""
        held, self._held = self._held, None
        if held is None:
            return self.take(rows)
        return moved_to_front(held, rows) if len(held) <= HELD_RATIO * len(rows) else held[rows]


@dataclass(frozen=True)
class Unread:
    """Images at positions `rows` (n,) of a source. An index chooses some without reading them."""

    source: StoredImages
    rows: Tensor

    @classmethod
    def all_of(cls, source: StoredImages) -> Unread:
        return cls(source, torch.arange(source.shape[0]))

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, C, H, W)."""
        return (len(self.rows), *self.source.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> Unread:
        return Unread(self.source, self.rows[index])


def image_keys(images: Tensor | Unread) -> list[bytes]:
    """Returns a hash of every image's bytes."""
    if isinstance(images, Unread):
        every = images.source.keys()
        return [every[row] for row in images.rows.tolist()]
    return keys_of(images)


def keys_of(images: Tensor) -> list[bytes]:
    """Returns a hash of the bytes of every image (n, C, H, W)."""
    pixels = images.contiguous().numpy()
    return [hashlib.blake2b(image, digest_size=KEY_BYTES).digest() for image in pixels]


def moved_to_front(images: Tensor, rows: Tensor) -> Tensor:
    """Returns images[rows] as the first of the images (N, ...), which are rearranged in place. Rows
    are distinct."""
    others = torch.ones(len(images), dtype=torch.bool)
    others[rows] = False
    source = torch.cat([rows, others.nonzero()[:, 0]]).tolist()
    pixels = images.view(len(images), -1).numpy()
    placed = bytearray(len(source))
    for first in range(len(source)):
        if placed[first] or source[first] == first:
            continue
        spare, at = pixels[first].copy(), first
        while source[at] != first:
            pixels[at] = pixels[source[at]]
            placed[at] = 1
            at = source[at]
        pixels[at] = spare
        placed[at] = 1
    return images[: len(rows)]
