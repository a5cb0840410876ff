"""Images and labels as arrays, and the ways to divide them into splits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.images.memory_limit import require_room
from jepa_lab.data.images.unread import Unread, image_keys
from jepa_lab.data.labels import classes_of
from jepa_lab.errors import UserError, say

SPLIT_NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class Arrays:
    """Images with their labels and maps.

    - images: (N, C, H, W) uint8, or such images of a file or folder that are not read yet
    - labels: (N,) int64, or None for unlabelled images
    - saliency: (N, H, W) float32 densities, or None if no files contain them
    - latents: (N, K, 7) float32 of objects whose K renderings are the images' channels, or None
    - class_names: of the classes in order, or () for classes that are named by their number
    """

    images: Tensor | Unread
    labels: Tensor | None
    saliency: Tensor | None = None
    latents: Tensor | None = None
    class_names: tuple[str, ...] = ()

    def take(self, index: Tensor) -> Arrays:
        """Returns the samples at these positions."""
        labels, saliency, latents = (
            None if x is None else x[index] for x in (self.labels, self.saliency, self.latents)
        )
        return Arrays(self.images[index], labels, saliency, latents, self.class_names)

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
    keys = image_keys(arrays.images)
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


def read_splits(parts: dict[str, Arrays]) -> dict[str, Arrays]:
    """Returns splits with their images in memory, except for those that are streamed, whose cache
    is then complete. Prints a line for each note of their sources, and raises UserError if the
    images to be read exceed the memory limit."""
    unread = {name: x.images for name, x in parts.items() if isinstance(x.images, Unread)}
    sources = list({id(x.source): x.source for x in unread.values()}.values())
    rows = [{name: x.rows for name, x in unread.items() if x.source is one} for one in sources]
    whole = [(x, places) for x, places in zip(sources, rows, strict=True) if not x.streams]
    if whole:
        first, _ = whole[0]
        _, channels, height, width = first.shape
        numbers = {name: sum(len(x.get(name, ())) for _, x in whole) for name in SPLIT_NAMES}
        require_room(numbers, channels * height * width, first.origin, height, first.resizable)
    pixels: dict[str, Tensor] = {}
    for source, places in zip(sources, rows, strict=True):
        together = torch.cat(list(places.values()))
        if source.streams:
            source.complete(together)
            continue
        images = source.read(together)
        pixels |= zip(places, images.split([len(x) for x in places.values()]), strict=True)
        for note in source.notes():
            say(f"{source.origin}: {note}")
    return {
        name: replace(part, images=pixels.get(name, part.images)) for name, part in parts.items()
    }


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
            raise UserError(f"{origin}: no {name} images; {_why_empty(arrays)}")
    require_all_or_none([a.labels for a in arrays.values()], origin)


def distinct_images(images: Iterable[Tensor | Unread]) -> int:
    """Returns the number of images (n, C, H, W), over several tensors, that differ in a byte."""
    return len({key for part in images for key in image_keys(part)})


def _why_empty(arrays: dict[str, Arrays]) -> str:
    """Returns why a split is empty, and what to do."""
    images = [part.images for part in arrays.values()]
    n, distinct = sum(map(len, images)), distinct_images(images)
    if distinct < n:
        h, w = next(tuple(x.shape[2:]) for x in images if len(x))
        return (
            f"only {distinct} of {n} images differ from each other at {h}x{w} pixels, and copies"
            " stay in one split"
        )
    return f"{n} are too few to divide; add some"


def require_all_or_none(labels: Collection[Any], origin: str) -> None:
    """Raises UserError unless every split has labels, or none has."""
    if len({x is None for x in labels}) > 1:
        raise UserError(f"{origin}: some splits have labels, others do not; label all or none")


def require_classes(parts: Mapping[str, Arrays], origin: str) -> None:
    """Raises UserError if all training images are of one class."""
    train = parts["train"].labels
    if train is not None and len(train.unique()) < 2:
        raise UserError(
            f"{origin}: all training images are of one class; label several, or omit the labels"
        )


def with_classes(
    images: Mapping[str, Tensor | Unread], labels: Mapping[str, Any], origin: str, name: str
) -> dict[str, Arrays]:
    """Returns images of every split with their labels as classes, see classes_of. `name` is that of
    a split's labels in messages, as in "{split}_labels". Raises UserError for labels that are no
    classes, also for those of an index or a regression target."""
    require_all_or_none(labels.values(), origin)
    if any(x is None for x in labels.values()):
        return {split: Arrays(x, None) for split, x in images.items()}
    names = {split: name.format(split=split).lstrip("_") for split in images}
    try:
        classes = classes_of(
            {names[split]: x for split, x in labels.items()},
            {names[split]: len(x) for split, x in images.items()},
        )
    except ValueError as error:
        raise UserError(f"{origin}: {error}") from None
    reason = classes.index_like()
    if reason:
        raise UserError(
            f"{origin}: {', '.join(names.values())} have {reason}; give the class of each image, or"
            " omit the labels"
        )
    class_names = () if classes.numbered else classes.names
    return {
        split: Arrays(x, classes.labels[names[split]], class_names=class_names)
        for split, x in images.items()
    }


def _unparted(order: list[int], keys: list[bytes], cut: int) -> int:
    """Increases a cut until it separates no images with the same bytes."""
    while 0 < cut < len(order) and keys[order[cut]] == keys[order[cut - 1]]:
        cut += 1
    return cut
