"""Images of a source and split as uint8, from named data sets or user-supplied files. They are in
memory, or stay in a cache on disk if they do not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.images import (
    hf_images,
    own_folder,
    own_npz,
    public_folders,
    public_images,
    rendered_objects,
)
from jepa_lab.data.images.arrays import Arrays, read_splits
from jepa_lab.data.images.hf_tables import HfSet
from jepa_lab.data.images.memory_limit import Budget
from jepa_lab.data.images.own_source import checked_splits
from jepa_lab.data.images.streaming import StreamedImages, StreamedSource, Streaming
from jepa_lab.data.images.unread import Unread
from jepa_lab.data.labels import class_counts
from jepa_lab.errors import UserError

PUBLISHED_NORM = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "tinyimagenet": ((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2241, 0.2215, 0.2239)),
    "3diebench": ((0.5016, 0.5037, 0.5060), (0.1030, 0.0999, 0.0969)),
    "imagenet_maps": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

OFFICIAL = ("mnist", "cifar10", "cifar100", "stl10")  # read by torchvision
RESIZED = ("digits", "folder", "hf", "3diebench", "imagenet_maps")
BLOCK = 256  # images read at once


@dataclass(frozen=True)
class ImageSource:
    """The images of one split, with their normalisation.

    - images: (N, C, H, W) uint8, whose entries are read from disk if they do not fit into memory
    - labels: (N,) int64, or None for unlabelled images
    - n_classes: 0 for unlabelled images. It counts the classes of all splits
    - class_names: of the classes in order, or () for classes that are named by their number
    - mean and std: per channel of images scaled to [0, 1]. They are the published constants of a
      named set, else measured on the training images.

    With latents, the C channels are those of K renderings, one after another. mean and std then
    belong to one rendering.
    """

    name: str
    images: Tensor | StreamedImages
    labels: Tensor | None
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    saliency: Tensor | None = None  # (N, H, W) float32 densities, if files contain them
    latents: Tensor | None = None  # (N, K, 7) float32, of the K renderings of every object
    class_names: tuple[str, ...] = ()

    @property
    def maps(self) -> Tensor | None:
        """Saliency or latents, (N, ...), which some views need beside the images."""
        return self.latents if self.saliency is None else self.saliency

    def fingerprint(self) -> str:
        """Returns ten hex digits of a hash of the pixels, the shape, the labels, and the saliency
        or latents."""
        images = self.images
        if isinstance(images, StreamedImages):
            return str(images.fact(f"fingerprint {self._digest_of_others()}", self._fingerprint))
        return self._fingerprint()

    def _digest_of_others(self) -> str:
        """Returns a hash of what is not in the images."""
        digest = hashlib.blake2b(digest_size=8)
        for part in (self.labels, self.maps):
            digest.update(b"" if part is None else part.contiguous().numpy().data)
        return digest.hexdigest()

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(repr(tuple(self.images.shape)).encode(), digest_size=5)
        for some in self.images.split(BLOCK):
            digest.update(some.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        if self.maps is not None:
            digest.update(self.maps.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """Three splits. Recipes are chosen on val and reported on test."""

    train: ImageSource
    val: ImageSource
    test: ImageSource

    def class_counts(self) -> dict[str, list[int]]:
        """Returns the number of images of each class, (n_classes,) for each split, or {} for
        unlabelled images."""
        return {
            name: class_counts(source.labels, source.n_classes)
            for name, source in vars(self).items()
            if source.labels is not None
        }


def load_splits(
    source: str | Callable[[], dict[str, Arrays]],
    *,
    root: str | None = None,
    path: str | None = None,
    image_size: int | None = None,
    train_size: int | None = None,
    val_size: int | None = None,
    split_seed: int = 0,
    saliency_path: str | None = None,
    with_maps: bool = True,
    streaming: Streaming | None = None,
    config_name: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> Splits:
    """Returns the three splits of a source.

    The sources are digits, mnist, cifar10, cifar100, stl10, tinyimagenet, 3diebench and
    imagenet_maps (in the folder `root`), folder (`root`), npz (the file `path`) and hf (the folder
    or name `path`). A function instead of a name reads user-supplied images: train, val and test.

    - image_size resizes digits (default 16), folder and hf (32), 3diebench (128) and imagenet_maps
      (224).
    - train_size and val_size limit the number of images, drawn with split_seed. None keeps all. Of
      3diebench and imagenet_maps only these images are read, and val_size limits their test split
      too.
    - saliency_path is a folder with train.npy and test.npy: the maps of a set with official splits.
    - with_maps: whether to read the maps of imagenet_maps.
    - config_name, image_column and label_column are those of hf, see HfSet.
    - streaming: from which size on the images of npz, folder and hf stay on disk. None keeps all
      images in memory and refuses those that do not fit.

    Raises UserError for data that is missing or broken.
    """
    if not isinstance(source, str):
        own = checked_splits(source(), "dataset.source")
        return _splits("own", own, train_size, val_size, split_seed)
    budget: dict[str, Any] = {"train_size": train_size, "val_size": val_size, "seed": split_seed}
    readers: dict[str, Callable[[], dict[str, Arrays]]] = {
        "digits": lambda: public_images.digits(image_size or 16),
        **{
            name: partial(public_images.torchvision_set, name, root or "data", saliency_path)
            for name in OFFICIAL
        },
        "tinyimagenet": lambda: public_folders.unread_tiny_imagenet(root or "data"),
        "3diebench": lambda: rendered_objects.read_rendered(root, image_size or 128, **budget),
        "imagenet_maps": lambda: public_folders.imagenet_with_maps(
            root, image_size or 224, with_maps=with_maps, **budget
        ),
        "npz": lambda: own_npz.unread_npz(path, Budget(train_size, val_size), streaming=streaming),
        "folder": lambda: own_folder.unread_folder(
            root, image_size or 32, Budget(train_size, val_size), streaming
        ),
        "hf": lambda: hf_images.unread_hf(
            HfSet(path, config_name, image_column, label_column),
            image_size or 32,
            Budget(train_size, val_size),
            streaming,
        ),
    }
    if source not in readers:
        raise UserError(f"dataset.source={source}: no such source; one of {', '.join(readers)}")
    if image_size is not None and source not in RESIZED:
        raise UserError(
            f"dataset.image_size={image_size}: source {source} keeps its own size; only"
            f" {', '.join(RESIZED)} resize"
        )
    if saliency_path is not None and source not in OFFICIAL:
        raise UserError(
            f"dataset.saliency_path={saliency_path}: source {source} has no official splits for"
            f" such maps; only {', '.join(OFFICIAL)} read maps, others compute them"
            " (dataset.saliency=spectral)"
        )
    return _splits(source, readers[source](), train_size, val_size, split_seed)


def _splits(
    name: str,
    arrays: dict[str, Arrays],
    train_size: int | None,
    val_size: int | None,
    split_seed: int,
) -> Splits:
    """Limits the splits to their budget and adds the normalisation of the training images."""
    chosen = read_splits(
        {
            "train": arrays["train"].subset(train_size, split_seed),
            "val": arrays["val"].subset(val_size, split_seed),
            "test": arrays["test"],
        }
    )
    train = chosen["train"]
    images = {split: _readable(part.images) for split, part in chosen.items()}
    mean, std = PUBLISHED_NORM.get(name) or _norm_of(images["train"])
    labels = [a.labels for a in arrays.values() if a.labels is not None and len(a.labels)]
    n_classes = len(train.class_names)
    if labels and not n_classes:
        n_classes = 1 + max(int(x.max()) for x in labels)
    base = ImageSource(
        name,
        images["train"],
        train.labels,
        n_classes,
        mean,
        std,
        train.saliency,
        train.latents,
        train.class_names,
    )
    return Splits(
        base, *(replace(base, **{**vars(chosen[x]), "images": images[x]}) for x in ("val", "test"))
    )


def _readable(images: Tensor | Unread) -> Tensor | StreamedImages:
    if isinstance(images, Tensor):
        return images
    assert isinstance(images.source, StreamedSource)
    return images.source.part(images.rows)


def _norm_of(images: Tensor | StreamedImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if isinstance(images, Tensor):
        return measured_norm(images)
    mean, std = images.fact("norm", lambda: measured_norm(images))
    return tuple(mean), tuple(std)


def measured_norm(images: Tensor | StreamedImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of every channel of (N, C, H, W) uint8 images scaled to
    [0, 1]. The latter is at least 1e-3."""
    counts = [
        sum(
            (torch.bincount(x[:, c].flatten(), minlength=256) for x in images.split(BLOCK)),
            torch.zeros(256, dtype=torch.long),
        ).double()
        for c in range(images.shape[1])
    ]
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = [float(k @ values / k.sum()) for k in counts]
    std = [
        float((k @ (values - m).square() / k.sum()).sqrt())
        for k, m in zip(counts, mean, strict=True)
    ]
    return tuple(mean), tuple(max(s, 1e-3) for s in std)
