"""User-supplied images: an .npz of arrays, or a folder of image files, with or without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from jepa_lab.data.images.arrays import (
    SPLIT_NAMES,
    Arrays,
    copies_note,
    hold_out,
    require_consistent,
    require_memory,
    split_by_hash,
    with_classes,
)
from jepa_lab.data.images.pixels import Look, rgb
from jepa_lab.data.labels import listed
from jepa_lab.errors import UserError, say
from jepa_lab.files.arrays import PythonObjects, read_npz
from jepa_lab.files.images import OtherPixels, open_image
from jepa_lab.files.limits import OverLimit

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
DARK = 32  # of 255: no camera's images are all below it
READ = {  # the arrays of an .npz that are read
    f"{prefix}{kind}"
    for prefix in ("", *(f"{name}_" for name in SPLIT_NAMES))
    for kind in ("images", "labels")
}


def npz(path: str | None, val_size: int | None) -> dict[str, Arrays]:
    """Returns train, val and test from an .npz file. The file holds `images`, which are divided
    80/10/10 by a hash, or `train_images`, `test_images` and optionally `val_images`. Images are (N,
    C, H, W), (N, H, W, C) or (N, H, W) uint8. Each array of images may have an array of labels
    (N,) or (N, 1): `labels`, `train_labels` and so on. Labels are strings, bools or whole numbers,
    and their distinct values over all splits are the classes. Without `val_images`, val_size
    training images are held out (a tenth by default)."""
    origin = f"dataset.path={path}"
    content = _open_npz(path, origin)
    if "images" in content:
        every = _arrays(content, [""], origin)[""]
        n = len(every.images)
        parts = split_by_hash(every, (n - 2 * (n // 10), n // 10, n // 10))
    elif "train_images" in content and "test_images" in content:
        present = [name for name in SPLIT_NAMES if f"{name}_images" in content]
        parts = _arrays(content, present, origin)
        if "val" not in parts:
            n = len(parts["train"].images)
            parts["train"], parts["val"] = hold_out(
                parts["train"], min(val_size or n // 10, n // 2)
            )
    else:
        found = ", ".join(sorted(content)) or "nothing"
        raise UserError(
            f"{origin}: expected the array images, or train_images and test_images; found {found}"
        )
    require_consistent(parts, origin)
    _same_classes(parts, origin)
    brightest = max(int(part.images.max()) for part in parts.values() if part.images.numel())
    if brightest < DARK:
        say(
            f"{origin}: the brightest pixel is {brightest} of 255; images cast from another range,"
            " such as fractions from 0 to 1, lose their grey levels"
        )
    return parts


def folder(root: str | None, image_size: int) -> dict[str, Arrays]:
    """Returns train, val and test from a folder of image files. The files are in one sub-folder per
    class (labelled) or directly in root (unlabelled), and are divided 80/10/10 by a hash. Or root
    has sub-folders train/, val/ and test/ of either form. Every image is turned upright as its
    metadata says and brought to RGB of 8 bits. The shorter side is resized to image_size, then the
    image is centre cropped."""
    origin = f"dataset.root={root}"
    top = Path(root or "")
    if not top.is_dir():
        raise UserError(f"{origin}: no such folder; give the folder that holds the images")
    if (top / "train").is_dir():
        classes = _classes(top / "train")
        present = [name for name in SPLIT_NAMES if (top / name).is_dir()]
        files = {name: _files(top / name, classes, image_size, origin) for name in present}
        look = _look([path for part in files.values() for path, _ in part], origin)
        parts = {name: _read(part, look, image_size, origin) for name, part in files.items()}
        for name in ("val", "test"):
            if name not in parts:
                n = len(parts["train"].images)
                parts["train"], parts[name] = hold_out(parts["train"], n // 10)
    else:
        classes = _classes(top)
        listing = _files(top, classes, image_size, origin)
        every = _read(listing, _look([path for path, _ in listing], origin), image_size, origin)
        n = len(every.images)
        parts = split_by_hash(every, (n - 2 * (n // 10), n // 10, n // 10))
    require_consistent(parts, origin)
    note = copies_note([part.images for part in parts.values()])
    if note:
        say(f"{origin}: {note}")
    _same_classes(parts, origin)
    return _named(parts, classes, origin)


def _open_npz(path: str | None, origin: str) -> dict[str, np.ndarray]:
    """Returns the images and labels of the file, and an empty array for every other name."""
    if not path or not Path(path).is_file():
        raise UserError(f"{origin}: no such file; give an .npz with images")
    advice = "write it with numpy.savez"
    try:
        return read_npz(Path(path), READ.__contains__)
    except PythonObjects as error:
        reason = f"{error.name} hold Python objects"
        if error.name.endswith("labels"):
            advice = "save strings or whole numbers, for example labels.astype(str)"
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise UserError(f"{origin}: not a readable .npz ({reason}); {advice}")


def _arrays(content: dict[str, np.ndarray], splits: list[str], origin: str) -> dict[str, Arrays]:
    """Returns the images of every split with their labels as classes. The split "" is that of an
    undivided file."""
    prefixes = {split: f"{split}_" if split else "" for split in splits}
    images = {split: _images(content, prefix, origin) for split, prefix in prefixes.items()}
    labels = {split: content.get(f"{prefix}labels") for split, prefix in prefixes.items()}
    return with_classes(images, labels, origin, "{split}_labels")


def _images(content: dict[str, np.ndarray], prefix: str, origin: str) -> torch.Tensor:
    """Returns images (N, C, H, W) uint8."""
    images = content[f"{prefix}images"]
    if images.dtype != np.uint8:
        raise UserError(
            f"{origin}: {prefix}images are {images.dtype}; uint8 (0..255) is needed; scale them by"
            " their depth, for example (images / 65535 * 255).astype(numpy.uint8) of 16 bits"
        )
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise UserError(
            f"{origin}: {prefix}images have shape {images.shape}; (N, C, H, W), (N, H, W, C) or (N,"
            " H, W)"
        )
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise UserError(
            f"{origin}: {prefix}images have shape {images.shape}; 1 or 3 channels are needed;"
            " choose some, for example images[:, [3, 2, 1]] of (N, C, H, W)"
        )
    if images.shape[2] != images.shape[3]:
        raise UserError(
            f"{origin}: {prefix}images are {images.shape[2]}x{images.shape[3]}; square images are"
            " needed"
        )
    return torch.from_numpy(np.ascontiguousarray(images))


def _classes(top: Path) -> list[str]:
    return sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(top: Path, classes: list[str], image_size: int, origin: str) -> list[tuple[Path, int]]:
    """Returns the image files of a split with their class numbers, -1 without classes."""
    unknown = set(_classes(top)) - set(classes)
    if unknown:
        raise UserError(
            f"{origin}: class folder {sorted(unknown)[0]} is in {top.name}/ but not in train/"
        )
    files = [(p, label) for label, name in enumerate(classes) for p in image_files(top / name)]
    if not classes:
        files = [(p, -1) for p in image_files(top)]
    others = [p for name in classes or ("",) for p in _no_images(top / name)]
    if others:
        say(f"{origin}: {len(others):,} files in {top} are no images: {listed(others)}")
    if not files:
        raise UserError(f"{origin}: no image in {top} ({', '.join(IMAGE_ENDINGS[:4])}, ...)")
    require_memory(len(files), 3 * image_size**2, origin, image_size, "dataset.image_size")
    return files


def _look(files: list[Path], origin: str) -> Look:
    """Returns what the images have in common, and prints what a reader should know."""
    look = Look()
    for path in files:
        with open_named(path, origin) as image:
            try:
                look = look.plus(image)
            except Exception as error:  # PIL raises many types for a broken file
                raise _unreadable(path, error, origin) from error
    try:
        notes = look.notes(len(files))
    except OtherPixels as error:
        raise UserError(
            f"{origin}: {look.deep} of {len(files)} images have {error}; save them as grey or RGB"
            " of 8 or 16 bits"
        ) from None
    for note in notes:
        say(f"{origin}: {note}")
    return look


def _read(files: list[tuple[Path, int]], look: Look, image_size: int, origin: str) -> Arrays:
    images = torch.stack([read_image(path, image_size, origin, look) for path, _ in files])
    labelled = any(label >= 0 for _, label in files)
    labels = torch.tensor([label for _, label in files]) if labelled else None
    return Arrays(images, labels)


def _named(parts: dict[str, Arrays], folders: list[str], origin: str) -> dict[str, Arrays]:
    """Returns the splits with the names of their class folders. A folder without images is no
    class, and a line says so."""
    labels = [x for x in (part.labels for part in parts.values()) if x is not None]
    if not labels:
        return parts
    present, numbers = torch.cat(labels).unique(return_inverse=True)
    names = tuple(folders[k] for k in present.tolist())
    empty = [name for name in folders if name not in names]
    if empty:
        say(f"{origin}: no image in the class folders {listed(empty)}, which are no classes")
    each = numbers.split([len(x) for x in labels])
    return {
        split: replace(part, labels=x, class_names=names)
        for (split, part), x in zip(parts.items(), each, strict=True)
    }


def image_files(top: Path) -> list[Path]:
    """Returns the image files of a folder, sorted. It returns none for a missing folder."""
    return (
        sorted(p for p in top.glob("*") if p.suffix.lower() in IMAGE_ENDINGS)
        if top.is_dir()
        else []
    )


def _no_images(top: Path) -> list[str]:
    """Returns the names of the visible files of a folder that have no ending of an image."""
    if not top.is_dir():
        return []
    files = (p for p in sorted(top.iterdir()) if p.is_file() and not p.name.startswith("."))
    return [p.name for p in files if p.suffix.lower() not in IMAGE_ENDINGS]


def read_image(
    path: Path, size: int, origin: str, look: Look | None = None, upright: bool = True
) -> torch.Tensor:
    """Returns (3, size, size) uint8: upright, RGB, shorter side resized, centre cropped. `look` is
    that of the image's folder, see `rgb`. Raises UserError for a file that is not an image."""
    with open_named(path, origin) as image:
        try:
            fitted = ImageOps.fit(
                rgb(image, look, upright), (size, size), Image.Resampling.BILINEAR
            )
        except Exception as error:  # PIL raises many types for a broken file
            raise _unreadable(path, error, origin) from error
    return torch.from_numpy(np.asarray(fitted).copy()).permute(2, 0, 1).contiguous()


def open_named(path: Path, origin: str) -> Image.Image:
    """Opens an image. Raises UserError with its name for a file that is not one."""
    try:
        return open_image(path)
    except Exception as error:  # PIL raises many types for a broken file
        raise _unreadable(path, error, origin) from error


def _unreadable(path: Path, error: Exception, origin: str) -> UserError:
    if isinstance(error, OverLimit):
        return UserError(f"{origin}: {path} has {error}; scale it down or remove it")
    if isinstance(error, OtherPixels):
        return UserError(
            f"{origin}: {path} has {error}; save it as grey or RGB of 8 or 16 bits, or choose three"
            " bands and save all images in an .npz"
        )
    return UserError(f"{origin}: {path} is not a readable image; repair or remove it")


def _same_classes(parts: dict[str, Arrays], origin: str) -> None:
    train = parts["train"].labels
    if train is not None and len(train.unique()) < 2:
        raise UserError(
            f"{origin}: all training images are of one class; label several, or omit the labels"
        )
