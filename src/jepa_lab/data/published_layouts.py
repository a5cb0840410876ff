"""Image sets in the folders that their authors publish: TinyImageNet, and ImageNet with a saliency map per image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.data.arrays import Arrays, hold_out
from jepa_lab.data.own_images import image_files, read_image
from jepa_lab.data.saliency import as_density, check_maps
from jepa_lab.errors import UserError

TINY_SIZE = 64
MAP_SUFFIX = "-sal.npy"


def tiny_imagenet(root: str) -> dict[str, Arrays]:
    """TinyImageNet, 64 pixels: a fixed tenth of the training images validates, the official validation set tests (the
    official test set has no labels). Classes count in the order of wnids.txt.

    Layout: wnids.txt, train/<wnid>/images/*.JPEG, val/images/* and val/val_annotations.txt, in root or in its folder
    tiny-imagenet-200. UserError for what is missing, unreadable or not annotated.
    """
    origin = f"dataset.root={root}"
    top = next((p for p in (Path(root) / "tiny-imagenet-200", Path(root)) if (p / "wnids.txt").is_file()), None)
    if top is None:
        layout = "tiny-imagenet-200/ with wnids.txt, train/<wnid>/images/ and val/val_annotations.txt"
        raise UserError(f"{origin}: no TinyImageNet there; unpack tiny-imagenet-200.zip into it ({layout})")
    classes = {name: i for i, name in enumerate((top / "wnids.txt").read_text(encoding="utf-8").split())}
    train = [(p, label) for name, label in classes.items() for p in image_files(top / "train" / name / "images")]
    test = [(p, classes[name]) for p, name in _annotated(top / "val", classes, origin)]
    for part, files in (("train", train), ("val", test)):
        if not files:
            raise UserError(f"{origin}: no image in {top / part}; unpack the archive again")
    rest, val = hold_out(_read(train, TINY_SIZE, origin), len(train) // 10)
    return {"train": rest, "val": val, "test": _read(test, TINY_SIZE, origin)}


def imagenet_with_maps(root: str, size: int = 224) -> dict[str, Arrays]:
    """Images of train/<wnid>/ and val/<wnid>/ with the density <name>-sal.npy (H, W) beside each, at the image's own
    resolution: a fixed tenth of train validates, the official validation set tests. Classes count in sorted order.

    Image and map alike: shorter side resized to `size`, centre cropped; the map then sums to 1. Everything is held in
    memory (size 224: 350 kB an image), so this is for subsets of ImageNet. UserError that names the first image
    without a map, or with a map of another size, or one that is no density.
    """
    origin = f"dataset.root={root}"
    top = Path(root)
    classes = sorted(p.name for p in (top / "train").glob("*") if p.is_dir())
    if not classes:
        raise UserError(f"{origin}: no class folder in {top / 'train'}; expected train/<wnid>/*.JPEG and val/<wnid>/")
    unknown = sorted(p.name for p in (top / "val").glob("*") if p.is_dir() and p.name not in classes)
    if unknown:
        raise UserError(f"{origin}: class folder {unknown[0]} is in val/ but not in train/")
    parts = {}
    for part in ("train", "val"):
        files = [(p, label) for label, name in enumerate(classes) for p in image_files(top / part / name)]
        if not files:
            raise UserError(f"{origin}: no image in {top / part}; add some")
        for path, _ in files:
            if not map_of(path).is_file():
                raise UserError(f"{origin}: {path} has no saliency map; {map_of(path).name} should lie beside it")
        maps = torch.cat([as_density(_read_map(path, size, origin)) for path, _ in files])
        images = _read(files, size, origin)
        parts[part] = Arrays(images.images, images.labels, maps)
    rest, val = hold_out(parts["train"], len(parts["train"].images) // 10)
    return {"train": rest, "val": val, "test": parts["val"]}


def map_of(image: Path) -> Path:
    """Where the saliency map of an image lies."""
    return image.with_name(image.stem + MAP_SUFFIX)


def _annotated(folder: Path, classes: dict[str, int], origin: str) -> list[tuple[Path, str]]:
    """(image, class name) by val_annotations.txt, one image a line, in sorted order."""
    table = folder / "val_annotations.txt"
    if not table.is_file():
        raise UserError(f"{origin}: no file {table}; unpack the archive again")
    found = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
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
        images[i] = read_image(path, size, origin)
    return Arrays(images, torch.tensor([label for _, label in files]))


def _read_map(image: Path, size: int, origin: str) -> Tensor:
    """(1, size, size): the image's map, resized and cropped as the image is."""
    from PIL import Image

    path = map_of(image)
    try:
        raw = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{origin}: {path} is not a readable .npy; write it with numpy.save") from error
    try:
        with Image.open(image) as opened:
            w, h = opened.size
    except Exception as error:  # PIL raises many kinds for a broken file
        raise UserError(f"{origin}: {image} is not a readable image; mend or remove it") from error
    if raw.dtype.kind not in "fiu" or raw.squeeze().shape != (h, w):
        raise UserError(f"{origin}: the map of {image} is {raw.dtype} {raw.shape}; its image is {h}x{w}")
    density = torch.from_numpy(raw.reshape(1, h, w).astype(np.float32))
    check_maps(density, [str(image)], origin)
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = density[:, top : top + side, left : left + side]
    resized = F.interpolate(square[None], size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized[0].clamp_min(0.0)
