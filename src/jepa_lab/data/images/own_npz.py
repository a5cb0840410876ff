"""User-supplied images in an .npz of arrays, with or without labels, or in one .npy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.images.arrays import (
    SPLIT_NAMES,
    Arrays,
    hold_out,
    require_classes,
    require_consistent,
    split_by_hash,
    with_classes,
)
from jepa_lab.data.images.memory_limit import Budget, require_memory, require_room
from jepa_lab.data.images.streaming import Streaming, streamed
from jepa_lab.data.images.unread import StoredImages, Unread
from jepa_lab.errors import UserError
from jepa_lab.files.array_rows import ArrayRows, npy_rows, npz_rows
from jepa_lab.files.arrays import PythonObjects, is_npy, read_npz

T = TypeVar("T")

DARK = 32  # of 255: no camera's images are all below it
WHOLE = "save numpy.ascontiguousarray(images), since an array in Fortran order is read whole"
PREFIXES = ("", *(f"{name}_" for name in SPLIT_NAMES))


def unread_npz(
    path: str | None,
    budget: Budget,
    held_out: int | None = None,
    streaming: Streaming | None = None,
) -> dict[str, Arrays]:
    """Returns train, val and test from an .npz file, whose images are not read yet. Of an .npy file
    the only array is `images`.

    The file holds `images`, which are divided 80/10/10 by a hash, or `train_images`, `test_images`
    and optionally `val_images`. Images are (N, C, H, W), (N, H, W, C) or (N, H, W) uint8. Each
    array of images may have an array of labels (N,) or (N, 1): `labels`, `train_labels` and so on.
    Labels are strings, bools or whole numbers, and their distinct values over all splits are the
    classes. Without `val_images`, `held_out` training images are held out (by default the
    validation images of the budget, or else a tenth). If the images that the budget keeps exceed
    the memory limit, they are streamed, or without `streaming` a UserError is raised before an
    image is read.
    """
    origin = f"dataset.path={path}"
    labels, images = _contents(path, origin)
    if "images" in images:
        names = {"": "images"}
    elif "train_images" in images and "test_images" in images:
        names = {x: f"{x}_images" for x in SPLIT_NAMES if f"{x}_images" in images}
    else:
        found = ", ".join(sorted(labels)) or "nothing"
        raise UserError(
            f"{origin}: expected the array images, or train_images and test_images; found {found}"
        )
    arrays = {split: PixelRows(images[name], origin) for split, name in names.items()}
    _require_one_shape(list(arrays.values()), origin)
    n = {split: len(x) for split, x in arrays.items()}
    held_out = held_out or budget.val_size
    if "" in n:
        sizes = {"train": n[""] - 2 * (n[""] // 10), "val": n[""] // 10, "test": n[""] // 10}
    else:
        sizes = {**n}
        if "val" not in n:
            sizes["val"] = min(held_out or n["train"] // 10, n["train"] // 2)
            sizes["train"] -= sizes["val"]
    kept = budget.kept(sizes)
    source = NpzImages(list(arrays.values()), origin, sum(kept.values()))
    _, channels, height, width = source.shape
    each = channels * height * width
    every = streamed(source, Path(path or ""), each * sum(kept.values()), streaming)
    if every is None:
        require_room(kept, each, origin, height, resizable=False)
        every = Unread.all_of(source)
    rows = every.rows.split([len(x) for x in arrays.values()])
    images_of = {split: every[x] for split, x in zip(arrays, rows, strict=True)}
    given = {split: labels.get(f"{split}_labels".lstrip("_")) for split in arrays}
    parts = with_classes(images_of, given, origin, "{split}_labels")
    if "" in parts:
        parts = split_by_hash(parts[""], (sizes["train"], sizes["val"], sizes["test"]))
    elif "val" not in parts:
        parts["train"], parts["val"] = hold_out(parts["train"], sizes["val"])
    require_consistent(parts, origin)
    require_classes(parts, origin)
    return parts


class PixelRows:
    """The images of one array of a file: (N, C, H, W), (N, H, W, C) or (N, H, W) in uint8. Raises
    UserError for an array of another type or shape."""

    def __init__(self, array: ArrayRows, origin: str) -> None:
        self.array, self.origin = array, origin
        name, shape = array.name, array.shape
        if array.dtype != np.uint8:
            raise UserError(
                f"{origin}: {name} are {array.dtype}; uint8 (0..255) is needed; scale them by their"
                " depth, for example (images / 65535 * 255).astype(numpy.uint8) of 16 bits"
            )
        if len(shape) == 3:
            shape = (shape[0], 1, *shape[1:])
        if len(shape) != 4:
            raise UserError(
                f"{origin}: {name} have shape {shape}; (N, C, H, W), (N, H, W, C) or (N, H, W)"
            )
        self.channels_last = shape[1] not in (1, 3) and shape[3] in (1, 3)
        if self.channels_last:
            shape = (shape[0], shape[3], *shape[1:3])
        if shape[1] not in (1, 3):
            raise UserError(
                f"{origin}: {name} have shape {shape}; 1 or 3 channels are needed; choose some, for"
                " example images[:, [3, 2, 1]] of (N, C, H, W)"
            )
        if shape[2] != shape[3]:
            raise UserError(f"{origin}: {name} are {shape[2]}x{shape[3]}; square images are needed")
        if array.columns_first:
            require_memory(shape[0], shape[1] * shape[2] ** 2, origin, shape[2], WHOLE)
        self.shape: tuple[int, int, int, int] = shape

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Tensor]:
        """Yields all images in order, (n, C, H, W) at a time."""
        return map(self._images, _readable(self.array.blocks(), self.origin))

    def take(self, rows: Sequence[int]) -> Iterator[Tensor]:
        """Yields the images at these positions, (n, C, H, W) at a time, see ArrayRows.take."""
        return map(self._images, _readable(self.array.take(rows), self.origin))

    def _images(self, block: np.ndarray) -> Tensor:
        images = torch.from_numpy(np.ascontiguousarray(block))
        if images.ndim == 3:
            return images[:, None]
        return images.permute(0, 3, 1, 2).contiguous() if self.channels_last else images


class NpzImages(StoredImages):
    """The images of the arrays of a file, one array after another."""

    def __init__(self, arrays: Sequence[PixelRows], origin: str, wanted: int) -> None:
        shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        super().__init__(origin, shape, resizable=False, wanted=wanted)
        self.arrays = arrays
        self.brightest: int | None = None

    def blocks(self) -> Iterator[Tensor]:
        brightest = 0
        for array in self.arrays:
            for block in array.blocks():
                brightest = max(brightest, int(block.max()))
                yield block
        self.brightest = brightest

    def take(self, rows: Tensor) -> Tensor:
        """Reads by position where the file allows it and its checksums are known to be right, and
        otherwise the whole file, a block at a time."""
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8)
        order = rows.argsort()
        ordered = rows[order]
        if self.brightest is not None and all(x.array.start is not None for x in self.arrays):
            at = first = 0
            for array in self.arrays:
                inside = ordered[(ordered >= first) & (ordered < first + len(array))] - first
                for block in array.take(inside.tolist()):
                    images[order[at : at + len(block)]] = block
                    at += len(block)
                first += len(array)
            return images
        at = 0
        for block in self.chosen(ordered):
            images[order[at : at + len(block)]] = block
            at += len(block)
        return images

    def notes(self) -> list[str]:
        """Returns a line for images that are dark in the whole file."""
        if self.brightest is None or self.brightest >= DARK:
            return []
        return [
            f"the brightest pixel is {self.brightest} of 255; images cast from another range, such"
            " as fractions from 0 to 1, lose their grey levels"
        ]

    def fingerprint(self) -> str:
        found = self.arrays[0].array.path.stat()
        names = [x.array.name for x in self.arrays]
        return repr((names, found.st_size, found.st_mtime_ns))


def _contents(path: str | None, origin: str) -> tuple[dict[str, np.ndarray], dict[str, ArrayRows]]:
    """Returns the labels of a file, with an empty array for every other name, and its images. An
    .npy file has images and no labels."""
    if not path or not Path(path).is_file():
        raise UserError(f"{origin}: no such file; give an .npz with images")
    if _or_unreadable(lambda: is_npy(Path(path)), origin):
        array = _or_unreadable(lambda: npy_rows(Path(path), "images"), origin)
        return {"images": np.empty(0)}, {"images": array}
    images = {f"{prefix}images" for prefix in PREFIXES}
    labels = {f"{prefix}labels" for prefix in PREFIXES}
    found = _or_unreadable(lambda: npz_rows(Path(path), images.__contains__), origin)
    return _or_unreadable(lambda: read_npz(Path(path), labels.__contains__), origin), found


def _readable(blocks: Iterator[np.ndarray], origin: str) -> Iterator[np.ndarray]:
    """Yields the blocks. Raises UserError for a damaged file."""
    while True:
        block = _or_unreadable(lambda: next(blocks, None), origin)
        if block is None:
            return
        yield block


def _or_unreadable(work: Callable[[], T], origin: str) -> T:
    """Returns the result of reading. Raises UserError for a file that is not a readable .npz."""
    advice = "write it with numpy.savez"
    try:
        return work()
    except PythonObjects as error:
        reason = f"{error.name} hold Python objects"
        if error.name.endswith("labels"):
            advice = "save strings or whole numbers, for example labels.astype(str)"
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError(f"{origin}: not a readable .npz ({reason}); {advice}")


def _require_one_shape(arrays: Sequence[PixelRows], origin: str) -> None:
    shapes = {x.shape[1:] for x in arrays}
    if len(shapes) > 1:
        raise UserError(
            f"{origin}: images of several shapes, {' and '.join(map(str, sorted(shapes)))}; one is"
            " needed"
        )
