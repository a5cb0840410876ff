"""User-supplied images in memory: an .npz of arrays, or a folder of image files."""

from __future__ import annotations

from jepa_lab.data.images.arrays import Arrays, read_splits
from jepa_lab.data.images.memory_limit import Budget
from jepa_lab.data.images.own_folder import unread_folder
from jepa_lab.data.images.own_npz import unread_npz


def npz(path: str | None, val_size: int | None) -> dict[str, Arrays]:
    """Returns train, val and test from an .npz file, whole, see unread_npz. `val_size` is the
    number of images that are held out of train_images for a missing val_images."""
    return read_splits(unread_npz(path, Budget(), held_out=val_size))


def folder(root: str | None, image_size: int) -> dict[str, Arrays]:
    """Returns train, val and test from a folder of image files, whole, see unread_folder."""
    return read_splits(unread_folder(root, image_size, Budget()))
