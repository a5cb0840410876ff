"""Image sets in their published folder layout: TinyImageNet, and ImageNet with a saliency map per
image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.data.images.arrays import Arrays, held_out, hold_out, kept, read_splits
from jepa_lab.data.images.folder_images import FolderImages
from jepa_lab.data.images.image_files import image_files, open_named, read_image
from jepa_lab.data.images.memory_limit import require_memory
from jepa_lab.data.images.saliency import as_density, check_maps
from jepa_lab.data.images.unread import Unread
from jepa_lab.data.user_arrays import read_npy
from jepa_lab.errors import UserError
from jepa_lab.files.text import read_text

TINY_SIZE = 64
MAP_SUFFIX = "-sal.npy"


def tiny_imagenet(root: str) -> dict[str, Arrays]:
    """Returns train, val and test of TinyImageNet in memory, see unread_tiny_imagenet."""
    return read_splits(unread_tiny_imagenet(root))


def unread_tiny_imagenet(root: str) -> dict[str, Arrays]:
    """Returns train, val and test of TinyImageNet at 64 pixels, whose images are not read yet.

    A fixed tenth of the training images is the validation split. The official validation set is the
    test split, since the official test set has no labels. Classes are numbered in the order of
    wnids.txt.

    Layout: wnids.txt, train/<wnid>/images/*.JPEG, val/images/* and val/val_annotations.txt, in root
    or in its folder tiny-imagenet-200. Raises UserError for files that are missing, unreadable or
    not annotated.
    """
    origin = f"dataset.root={root}"
    top = next(
        (p for p in (Path(root) / "tiny-imagenet-200", Path(root)) if (p / "wnids.txt").is_file()),
        None,
    )
    if top is None:
        layout = (
            "tiny-imagenet-200/ with wnids.txt, train/<wnid>/images/ and val/val_annotations.txt"
        )
        raise UserError(
            f"{origin}: no TinyImageNet there; unpack tiny-imagenet-200.zip into it ({layout})"
        )
    classes = {name: i for i, name in enumerate(_text(top / "wnids.txt", origin).split())}
    train = [
        (p, label)
        for name, label in classes.items()
        for p in image_files(top / "train" / name / "images")
    ]
    test = [(p, classes[name]) for p, name in _annotated(top / "val", classes, origin)]
    for part, files in (("train", train), ("val", test)):
        if not files:
            raise UserError(f"{origin}: no image in {top / part}; unpack the archive again")
    files = [*train, *test]
    source = FolderImages([p for p, _ in files], TINY_SIZE, origin, wanted=0)
    every = Arrays(Unread.all_of(source), torch.tensor([label for _, label in files]))
    pool, official = torch.arange(len(files)).split([len(train), len(test)])
    rest, val = hold_out(every.take(pool), len(train) // 10)
    return {"train": rest, "val": val, "test": every.take(official)}


def imagenet_with_maps(
    root: str | None,
    size: int = 224,
    *,
    train_size: int | None = None,
    val_size: int | None = None,
    seed: int = 0,
    with_maps: bool = True,
) -> dict[str, Arrays]:
    """Returns train, val and test of ImageNet with a saliency density per image.

    Images are in train/<wnid>/ and val/<wnid>/. The density <name>-sal.npy (H, W) of each is in the
    same folder, at the image's own resolution. A fixed tenth of train is the validation split, and
    the official validation set is the test split. Classes are numbered in sorted order.

    Image and map are processed alike: shorter side resized to `size`, centre cropped. The map is
    then scaled to sum 1. The images are held in memory (350 kB each for size 224): train_size of
    train, and val_size of each of val and test, drawn with `seed`. No other images are read.
    with_maps=False reads the images alone. Raises UserError for the first image whose map is
    missing, of another size or not a density, and for images that exceed the memory limit.
    """
    origin = f"dataset.root={root}"
    top = Path(root or "")
    classes = sorted(p.name for p in (top / "train").glob("*") if p.is_dir())
    if not classes:
        raise UserError(
            f"{origin}: no class folder in {top / 'train'}; expected train/<wnid>/*.JPEG and"
            f" val/<wnid>/*.JPEG of ImageNet (image-net.org) with <name>{MAP_SUFFIX} beside each"
        )
    unknown = sorted(
        p.name for p in (top / "val").glob("*") if p.is_dir() and p.name not in classes
    )
    if unknown:
        raise UserError(f"{origin}: class folder {unknown[0]} is in val/ but not in train/")
    files = {}
    for part in ("train", "val"):
        files[part] = [
            (p, label) for label, name in enumerate(classes) for p in image_files(top / part / name)
        ]
        if not files[part]:
            raise UserError(f"{origin}: no image in {top / part}; add some")
    rest, val = held_out(len(files["train"]), len(files["train"]) // 10)
    divided = {
        "train": ([files["train"][i] for i in rest.tolist()], train_size),
        "val": ([files["train"][i] for i in val.tolist()], val_size),
        "test": (files["val"], val_size),
    }
    parts = {
        name: [rows[i] for i in kept(len(rows), n, seed).tolist()]
        for name, (rows, n) in divided.items()
    }
    require_memory(
        sum(map(len, parts.values())), (7 if with_maps else 3) * size * size, origin, size
    )
    for path, _ in (row for rows in parts.values() for row in rows if with_maps):
        if not map_of(path).is_file():
            raise UserError(
                f"{origin}: {path} has no saliency map; {map_of(path).name} should be beside it"
            )
    read = {}
    for name, rows in parts.items():
        images = _read(rows, size, origin)
        read[name] = Arrays(
            images.images, images.labels, _read_maps(rows, size, origin) if with_maps else None
        )
    return read


def map_of(image: Path) -> Path:
    """Returns the path of an image's saliency map."""
    return image.with_name(image.stem + MAP_SUFFIX)


def _text(path: Path, origin: str) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{origin}: {path} cannot be read ({error})") from error


def _annotated(folder: Path, classes: dict[str, int], origin: str) -> list[tuple[Path, str]]:
    """Returns sorted pairs (image, class name) from val_annotations.txt, which has one image per
    line."""
    table = folder / "val_annotations.txt"
    if not table.is_file():
        raise UserError(f"{origin}: no file {table}; unpack the archive again")
    found = []
    for number, line in enumerate(_text(table, origin).splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in classes:
            raise UserError(f"{origin}: line {number} of {table} names no class of wnids.txt")
        path = folder / "images" / fields[0]
        if not path.is_file():
            raise UserError(f"{origin}: {path} is missing, line {number} of {table.name} names it")
        found.append((path, fields[1]))
    return sorted(found)


def _read(files: Sequence[tuple[Path, int]], size: int, origin: str) -> Arrays:
    images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    for i, (path, _) in enumerate(files):
        # as published: maps and other results belong to the pixels as they lie in the file
        images[i] = read_image(path, size, origin, upright=False)
    return Arrays(images, torch.tensor([label for _, label in files]))


def _read_maps(files: Sequence[tuple[Path, int]], size: int, origin: str) -> Tensor:
    maps = torch.empty(len(files), size, size)
    for i, (path, _) in enumerate(files):
        maps[i] = as_density(_read_map(path, size, origin))[0]
    return maps


def _read_map(image: Path, size: int, origin: str) -> Tensor:
    """Returns the image's map (1, size, size), resized and cropped like the image."""
    path = map_of(image)
    raw = read_npy(path, origin)
    with open_named(image, origin) as opened:
        w, h = opened.size
    if raw.dtype.kind not in "fiu" or raw.squeeze().shape != (h, w):
        raise UserError(
            f"{origin}: the map of {image} is {raw.dtype} {raw.shape}; its image is {h}x{w}"
        )
    with np.errstate(over="ignore"):
        density = torch.from_numpy(raw.reshape(1, h, w).astype(np.float32))
    check_maps(density, [str(image)], origin)
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = density[:, top : top + side, left : left + side]
    resized = F.interpolate(
        square[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0].clamp_min(0.0)
