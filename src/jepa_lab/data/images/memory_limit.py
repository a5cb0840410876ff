"""Refuses images that do not fit into memory, before any of them is decoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jepa_lab.errors import UserError
from jepa_lab.files.limits import memory_at_hand

MOST_BYTES = 24e9  # memory limit for the images of a source, whatever the machine has
SIZES = (
    "lower dataset.train_size (and dataset.val_size, which limits val and test) or"
    " dataset.image_size"
)


@dataclass(frozen=True)
class Budget:
    """The most training and validation images of a run. None is all."""

    train_size: int | None = None
    val_size: int | None = None

    def kept(self, numbers: Mapping[str, int]) -> dict[str, int]:
        """Returns how many of these numbers of images of each split a run keeps."""
        most = {"train": self.train_size, "val": self.val_size}
        return {name: _at_most(n, most.get(name)) for name, n in numbers.items()}


def memory_limit() -> float:
    """Returns the most bytes that the images of a source may take."""
    return min(MOST_BYTES, memory_at_hand())


def require_memory(n: int, each: int, origin: str, size: int, remedy: str = SIZES) -> None:
    """Raises UserError if n samples of `each` bytes, at `size` pixels, exceed the memory limit.
    `remedy` is what to do."""
    limit = memory_limit()
    if n * each > limit:
        raise UserError(f"{_excess(n, 'samples', each, origin, size, limit)}; {remedy}")


def require_room(
    kept: Mapping[str, int], each: int, origin: str, size: int, resizable: bool
) -> None:
    """Raises UserError if the images that a run keeps of a user's file or folder, of `each` bytes
    at `size` pixels, exceed the memory limit. The line has values that fit: of dataset.train_size,
    and of dataset.image_size if the images are resized."""
    limit, n = memory_limit(), sum(kept.values())
    if n * each <= limit:
        return
    room = int(limit // each)
    ways = []
    if room > n - kept["train"]:
        ways.append(f"dataset.train_size={room - n + kept['train']} or less")
    elif room > n - kept["train"] - kept["val"]:
        ways.append("lower dataset.train_size and dataset.val_size")
    if resizable:
        ways.append(f"dataset.image_size={math.isqrt(int(limit // (3 * n)))} or less")
    else:
        ways.append("give fewer or smaller images")
    test = f" (with all {kept['test']:,} of the test split)"
    raise UserError(
        f"{_excess(n, f'images{test}', each, origin, size, limit)}; {', or '.join(ways)}"
    )


def _excess(n: int, what: str, each: int, origin: str, size: int, limit: float) -> str:
    return (
        f"{origin}: {n:,} {what} at {size} pixels take {bytes_text(n * each)} of memory, more than"
        f" the {bytes_text(limit)} allowed"
    )


def bytes_text(size: float) -> str:
    """Returns a number of bytes as text, as in 1.4 GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _at_most(n: int, most: int | None) -> int:
    return n if most is None else min(n, most)
