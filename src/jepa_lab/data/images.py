"""Images in memory: one uint8 tensor per source and split, from named data sets or the user's own files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jepa_lab.data import own_images, public_images
from jepa_lab.data.arrays import Arrays
from jepa_lab.errors import UserError

PUBLISHED_NORM = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}


@dataclass(frozen=True)
class ImageSource:
    """images (N, C, H, W) uint8; labels (N,) int64 or None; n_classes 0 if unlabelled; mean and std per channel of
    images scaled to [0, 1]: the published constants of a named set, else measured on the training images."""

    name: str
    images: Tensor
    labels: Tensor | None
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def fingerprint(self) -> str:
        """Ten hex digits of the bytes, the shape and the labels."""
        digest = hashlib.blake2b(repr(tuple(self.images.shape)).encode(), digest_size=5)
        digest.update(self.images.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """Recipes are chosen on val and reported on test."""

    train: ImageSource
    val: ImageSource
    test: ImageSource


def load_splits(
    source: str,
    *,
    root: str | None = None,
    path: str | None = None,
    image_size: int | None = None,
    train_size: int | None = None,
    val_size: int | None = None,
    split_seed: int = 0,
) -> Splits:
    """The three splits of digits, mnist, cifar10, cifar100, npz (path) or folder (root).

    image_size resizes digits (default 16) and folders (default 32). train_size and val_size keep a subset drawn with
    split_seed, or all where there are fewer. UserError for data that is missing or broken.
    """
    readers: dict[str, Callable[[], dict[str, Arrays]]] = {
        "digits": lambda: public_images.digits(image_size or 16),
        "mnist": lambda: public_images.torchvision_set("mnist", root or "data"),
        "cifar10": lambda: public_images.torchvision_set("cifar10", root or "data"),
        "cifar100": lambda: public_images.torchvision_set("cifar100", root or "data"),
        "npz": lambda: own_images.npz(path, val_size),
        "folder": lambda: own_images.folder(root, image_size or 32),
    }
    if source not in readers:
        raise UserError(f"dataset.source={source}: no such source; one of {', '.join(readers)}")
    if image_size is not None and source not in ("digits", "folder"):
        raise UserError(
            f"dataset.image_size={image_size}: source {source} keeps its own size; only digits and folder resize"
        )
    arrays = readers[source]()
    train = arrays["train"].subset(train_size, split_seed)
    val = arrays["val"].subset(val_size, split_seed)
    mean, std = PUBLISHED_NORM.get(source) or measured_norm(train.images)
    labels = [a.labels for a in arrays.values() if a.labels is not None and len(a.labels)]
    n_classes = 1 + max(int(x.max()) for x in labels) if labels else 0
    base = ImageSource(source, train.images, train.labels, n_classes, mean, std)
    return Splits(
        base,
        replace(base, images=val.images, labels=val.labels),
        replace(base, images=arrays["test"].images, labels=arrays["test"].labels),
    )


def measured_norm(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel of (N, C, H, W) uint8 images scaled to [0, 1]; std at least 1e-3."""
    counts = [torch.bincount(images[:, c].flatten().long(), minlength=256).double() for c in range(images.shape[1])]
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = [float(k @ values / k.sum()) for k in counts]
    std = [float((k @ (values - m).square() / k.sum()).sqrt()) for k, m in zip(counts, mean, strict=True)]
    return tuple(mean), tuple(max(s, 1e-3) for s in std)
