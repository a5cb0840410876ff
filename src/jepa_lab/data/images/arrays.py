"""Images and labels as arrays, and the ways to divide them into splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.errors import UserError

MOST_BYTES = 24e9  # memory limit for the images of a source


@dataclass(frozen=True)
class Arrays:
    """Images with their labels and maps.

    - images: (N, C, H, W) uint8
    - labels: (N,) int64, or None for unlabelled images
    - saliency: (N, H, W) float32 densities, or None if no files contain them
    - latents: (N, K, 7) float32 of objects whose K renderings are the images' channels, or None
    """

    images: Tensor
    labels: Tensor | None
    saliency: Tensor | None = None
    latents: Tensor | None = None

    def take(self, index: Tensor) -> Arrays:
        """Returns the samples at these positions."""
        others = (
            None if x is None else x[index] for x in (self.labels, self.saliency, self.latents)
        )
        return Arrays(self.images[index], *others)

    def subset(self, size: int | None, seed: int) -> Arrays:
        """Returns `size` samples drawn without replacement, in their original order. Returns all
        samples if `size` is None or above their number, since a small user-supplied set may be
        below the budget of a tier."""
        n = len(self.images)
        return self if size is None or size >= n else self.take(kept(n, size, seed))


def split_by_hash(arrays: Arrays, sizes: tuple[int, int, int]) -> dict[str, Arrays]:
    """Returns train, val and test of these sizes, by a hash of every image's bytes, whatever the
    order of the files.

    Images are sorted by hash and cut into splits. A cut that would separate images with the same
    bytes is moved behind them.
    """
    keys = [
        hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest() for image in arrays.images
    ]
    order = sorted(range(len(keys)), key=lambda i: (keys[i], i))
    first, second = sizes[0], sizes[0] + sizes[1]
    cuts = [_unparted(order, keys, first), _unparted(order, keys, second)]
    parts = {"train": order[: cuts[0]], "val": order[cuts[0] : cuts[1]], "test": order[cuts[1] :]}
    return {
        name: arrays.take(torch.tensor(sorted(part), dtype=torch.long))
        for name, part in parts.items()
    }


def hold_out(arrays: Arrays, size: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """Returns (the rest, `size` samples), drawn with a fixed seed."""
    rest, held = held_out(len(arrays.images), size, seed)
    return arrays.take(rest), arrays.take(held)


def held_out(n: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Returns the positions of (the rest, `size` samples) of n samples, each in order, drawn with a
    fixed seed."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[size:].sort().values, order[:size].sort().values


def kept(n: int, size: int | None, seed: int) -> Tensor:
    """Returns the positions of `size` of n samples, in order. Returns all positions if `size` is
    None or above n."""
    if size is None or size >= n:
        return torch.arange(n)
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:size].sort().values


def require_memory(n: int, each: int, origin: str, size: int) -> None:
    """Raises UserError if n samples of `each` bytes, at `size` pixels, exceed MOST_BYTES of
    memory."""
    if n * each > MOST_BYTES:
        raise UserError(
            f"{origin}: {n} samples at {size} pixels take {n * each / 1e9:.1f} GB of memory, more"
            f" than the {MOST_BYTES / 1e9:.0f} GB allowed; lower dataset.train_size (and"
            " dataset.val_size, which limits val and test) or dataset.image_size"
        )


def require_consistent(arrays: dict[str, Arrays], origin: str) -> None:
    """Raises UserError unless every split has images, all of one shape, and either all or none have
    labels."""
    shapes = {tuple(a.images.shape[1:]) for a in arrays.values()}
    if len(shapes) > 1:
        raise UserError(
            f"{origin}: images of several shapes, {' and '.join(map(str, sorted(shapes)))}; one is"
            " needed"
        )
    for name, part in arrays.items():
        if len(part.images) == 0:
            raise UserError(f"{origin}: no {name} images; add some")
    if len({a.labels is None for a in arrays.values()}) > 1:
        raise UserError(f"{origin}: some splits have labels, others do not; label all or none")


def _unparted(order: list[int], keys: list[bytes], cut: int) -> int:
    """Increases a cut until it separates no images with the same bytes."""
    while 0 < cut < len(order) and keys[order[cut]] == keys[order[cut - 1]]:
        cut += 1
    return cut
