"""User-supplied images in a folder of image files, with or without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from jepa_lab.data.images.arrays import (
    SPLIT_NAMES,
    Arrays,
    hold_out,
    require_classes,
    require_consistent,
    split_by_hash,
)
from jepa_lab.data.images.folder_images import OwnFolderImages
from jepa_lab.data.images.image_files import IMAGE_ENDINGS, image_files, other_files
from jepa_lab.data.images.memory_limit import Budget, require_room
from jepa_lab.data.images.streaming import Streaming, streamed
from jepa_lab.data.images.unread import Unread
from jepa_lab.data.labels import listed
from jepa_lab.errors import UserError, say

Files = list[tuple[Path, int]]  # image files with their class numbers


def unread_folder(
    root: str | None, image_size: int, budget: Budget, streaming: Streaming | None = None
) -> dict[str, Arrays]:
    """Returns train, val and test from a folder of image files, whose images are not read yet.

    The files are in one sub-folder per class (labelled) or directly in root (unlabelled), and are
    divided 80/10/10 by a hash of their pixels, for which every file is decoded once. Or root has
    sub-folders train/, val/ and test/ of either form, of which only the images that a run keeps are
    decoded. Every image is turned upright as its metadata says and brought to RGB of 8 bits. The
    shorter side is resized to image_size, then the image is centre cropped. If the images that the
    budget keeps exceed the memory limit, they are streamed, or without `streaming` a UserError is
    raised before an image is opened.
    """
    origin = f"dataset.root={root}"
    top = Path(root or "")
    if not top.is_dir():
        raise UserError(f"{origin}: no such folder; give the folder that holds the images")
    divided = (top / "train").is_dir()
    classes = _classes(top / "train" if divided else top)
    present = [x for x in SPLIT_NAMES if (top / x).is_dir()] if divided else [""]
    files = {name: _files(top / name, classes, origin) for name in present}
    n = {name: len(part) for name, part in files.items()}
    sizes = {**n}
    for name in SPLIT_NAMES[1:]:
        if name not in n:  # a tenth of those that are left
            pool = sizes.get("train", n.get("", 0))
            sizes[name] = (pool if divided else n[""]) // 10
            if divided:
                sizes["train"] -= sizes[name]
    if not divided:
        sizes["train"] = sizes.pop("") - sizes["val"] - sizes["test"]
    kept = budget.kept(sizes)
    every = [row for part in files.values() for row in part]
    source = OwnFolderImages(
        top, [path for path, _ in every], image_size, origin, sum(kept.values())
    )
    images = streamed(source, top, 3 * image_size**2 * sum(kept.values()), streaming)
    if images is None:
        require_room(kept, 3 * image_size**2, origin, image_size, resizable=True)
        for note in source.prepare():
            say(f"{origin}: {note}")
        images = Unread.all_of(source)
    labels = torch.tensor([label for _, label in every]) if classes else None
    whole = Arrays(images, labels)
    if divided:
        rows = torch.arange(len(every)).split(list(n.values()))
        parts = {name: whole.take(x) for name, x in zip(n, rows, strict=True)}
        for name in SPLIT_NAMES[1:]:
            if name not in parts:
                parts["train"], parts[name] = hold_out(parts["train"], sizes[name])
    else:
        parts = split_by_hash(whole, (sizes["train"], sizes["val"], sizes["test"]))
    require_consistent(parts, origin)
    require_classes(parts, origin)
    return _named(parts, classes, origin)


def _classes(top: Path) -> list[str]:
    return sorted(p.name for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(top: Path, classes: list[str], origin: str) -> Files:
    """Returns the image files of a split with their class numbers, -1 without classes."""
    unknown = set(_classes(top)) - set(classes)
    if unknown:
        raise UserError(
            f"{origin}: class folder {sorted(unknown)[0]} is in {top.name}/ but not in train/"
        )
    files = [(p, label) for label, name in enumerate(classes) for p in image_files(top / name)]
    if not classes:
        files = [(p, -1) for p in image_files(top)]
    others = [p for name in classes or ("",) for p in other_files(top / name)]
    if others:
        say(f"{origin}: {len(others):,} files in {top} are no images: {listed(others)}")
    if not files:
        raise UserError(f"{origin}: no image in {top} ({', '.join(IMAGE_ENDINGS[:4])}, ...)")
    return files


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
