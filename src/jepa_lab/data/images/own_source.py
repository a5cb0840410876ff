"""The splits that a user's own source of images returns, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.images.arrays import SPLIT_NAMES, Arrays, require_consistent, with_classes
from jepa_lab.data.images.unread import StoredImages, Unread
from jepa_lab.data.user_arrays import as_array
from jepa_lab.errors import UserError


def checked_splits(given: Any, origin: str) -> dict[str, Arrays]:
    """Returns train, val and test with labels as classes. Images, labels and maps may be arrays of
    any library, byte order and memory layout. Images that do not lie row by row in memory are not
    copied yet.

    Raises UserError unless `given` holds Arrays for each split, with images (N, C, H, W) in uint8,
    labels that are classes, saliency (N, H, W) and latents (N, K, 7) of finite numbers.
    """
    absent = [
        name
        for name in SPLIT_NAMES
        if not (isinstance(given, Mapping) and isinstance(given.get(name), Arrays))
    ]
    if absent:
        raise UserError(
            f"{origin}: load returned no Arrays for {', '.join(absent)}; train, val and test are"
            " needed"
        )
    images = {name: _images(given[name].images, f"{name} images", origin) for name in SPLIT_NAMES}
    labels = {name: given[name].labels for name in SPLIT_NAMES}
    parts = with_classes(images, labels, origin, "{split} labels")
    for name, (n, channels, h, w) in ((name, x.shape) for name, x in images.items()):
        saliency = _numbers(given[name].saliency, (n, h, w), f"{name} saliency", origin)
        latents = _numbers(given[name].latents, (n, None, 7), f"{name} latents", origin)
        if latents is not None and channels % max(latents.shape[1], 1):
            raise UserError(
                f"{origin}: {name} images have {channels} channels, which are not those of"
                f" {latents.shape[1]} renderings"
            )
        parts[name] = replace(parts[name], saliency=saliency, latents=latents)
    require_consistent(parts, origin)
    return parts


class ArrayImages(StoredImages):
    """The images of an array (N, C, H, W) that does not lie row by row in memory, such as a
    transposed one. Only those that a run keeps are copied."""

    def __init__(self, array: np.ndarray, origin: str) -> None:
        n, channels, height, width = array.shape
        super().__init__(origin, (n, channels, height, width), resizable=False, wanted=0)
        self.array = array

    def blocks(self) -> Iterator[Tensor]:
        return (self.take(torch.tensor([row])) for row in range(len(self.array)))

    def take(self, rows: Tensor) -> Tensor:
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        for image, row in zip(images.numpy(), rows.tolist(), strict=True):
            image[:] = self.array[row]
        return images


def _images(values: Any, name: str, origin: str) -> Tensor | Unread:
    array = _array(values, name, origin)
    if array.dtype != np.uint8 or array.ndim != 4:
        raise UserError(
            f"{origin}: {name} are {array.dtype} {array.shape}; uint8 (N, C, H, W) is needed"
        )
    if not array.flags.c_contiguous:
        return Unread.all_of(ArrayImages(array, origin))
    return torch.from_numpy(array)


def _numbers(values: Any, shape: tuple[int | None, ...], name: str, origin: str) -> Tensor | None:
    """Returns float32 numbers of a shape, in which None is any length."""
    if values is None:
        return None
    array = _array(values, name, origin)
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in "fiu" or not fits:
        wanted = ", ".join("K" if n is None else str(n) for n in shape)
        raise UserError(
            f"{origin}: {name} are {array.dtype} {array.shape}; numbers ({wanted}) are needed"
        )
    with np.errstate(over="ignore"):
        tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if not bool(torch.isfinite(tensor).all()):
        raise UserError(f"{origin}: {name} have values that are not finite in float32")
    return tensor


def _array(values: Any, name: str, origin: str) -> np.ndarray:
    try:
        return as_array(values, name)
    except ValueError as error:
        raise UserError(f"{origin}: {error}") from None
