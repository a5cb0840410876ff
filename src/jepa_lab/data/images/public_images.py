"""Named data sets: the digits that scikit-learn ships, and MNIST, CIFAR and STL-10 from
torchvision."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from jepa_lab.data.images.arrays import Arrays, hold_out, split_by_hash
from jepa_lab.data.images.memory_limit import require_memory
from jepa_lab.data.images.saliency import load_saliency
from jepa_lab.errors import UserError

DIGITS_SPLIT = (1097, 340, 360)
LAYOUTS = {  # where to get each set, and the files that root then holds
    "mnist": "yann.lecun.com/exdb/mnist: MNIST/raw/train-images-idx3-ubyte and the three beside it",
    "cifar10": (
        "www.cs.toronto.edu/~kriz/cifar.html, the python version:"
        " cifar-10-batches-py/data_batch_1 ..."
    ),
    "cifar100": (
        "www.cs.toronto.edu/~kriz/cifar.html, the python version: cifar-100-python/train and test"
    ),
    "stl10": (
        "cs.stanford.edu/~acoates/stl10: stl10_binary/train_X.bin, train_y.bin, test_X.bin,"
        " test_y.bin, ..."
    ),
}
IN_MEMORY = {  # images of both parts, bytes of each, and their side
    "mnist": (70_000, 28 * 28, 28),
    "cifar10": (60_000, 3 * 32 * 32, 32),
    "cifar100": (60_000, 3 * 32 * 32, 32),
    "stl10": (13_000, 3 * 96 * 96, 96),
}


def digits(image_size: int) -> dict[str, Arrays]:
    """Returns scikit-learn's 1,797 handwritten digits: 1,097 for train, 340 for val, 360 for test,
    chosen by a hash of each image.

    The 8x8 images of 0..16 are scaled to 0..255 and enlarged bilinearly to image_size before
    rounding.
    """
    pixels, labels = read_digits()
    require_memory(
        len(pixels),
        4 * image_size**2,  # enlarged in float32
        f"dataset.image_size={image_size}",
        image_size,
        "lower dataset.image_size",
    )
    small = torch.from_numpy(pixels).float().unsqueeze(1) * (255.0 / 16.0)
    large = F.interpolate(
        small, size=(image_size, image_size), mode="bilinear", align_corners=False
    )
    images = large.round().clamp(0, 255).to(torch.uint8)
    keyed = Arrays(small.round().to(torch.uint8), torch.arange(len(small)))
    parts = split_by_hash(keyed, DIGITS_SPLIT)
    every = Arrays(images, torch.from_numpy(labels).long())
    return {name: every.take(part.labels) for name, part in parts.items()}  # type: ignore[arg-type]


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's digits: images (1797, 8, 8) of 0..16 in float64, and labels (1797,).

    Its file is read directly, since the import of scikit-learn takes a second. If it is not in its
    usual place, scikit-learn reads it.
    """
    found = find_spec("sklearn")
    place = Path(found.origin).parent if found is not None and found.origin else Path()
    file = place / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return images.reshape(-1, 8, 8), labels
    rows = np.loadtxt(file, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)


def torchvision_set(name: str, root: str, saliency: str | None = None) -> dict[str, Arrays]:
    """Returns train, val and test of MNIST, CIFAR-10, CIFAR-100 or STL-10 (its labelled images).

    A fixed tenth of the training images is the validation split. The official test set is the test
    split. `saliency` is a folder with train.npy and test.npy, see load_saliency. Missing files are
    downloaded into root with a progress bar. Raises UserError if that fails.
    """
    n, each, side = IN_MEMORY[name]
    require_memory(n, each, f"dataset.root={root}", side, "use another data set")
    parts = {part: _read(name, root, train=part == "train") for part in ("train", "test")}
    if saliency is not None:
        for part, arrays in parts.items():
            n, size = len(arrays.images), (arrays.images.shape[2], arrays.images.shape[3])
            maps = load_saliency(
                Path(saliency) / f"{part}.npy", n, size, f"dataset.saliency_path={saliency}"
            )
            parts[part] = replace(arrays, saliency=maps)
    rest, val = hold_out(parts["train"], len(parts["train"].images) // 10)
    return {"train": rest, "val": val, "test": parts["test"]}


def _read(name: str, root: str, train: bool) -> Arrays:
    from torchvision import datasets  # imported here, since the import takes more than a second

    kind: Any = {
        "mnist": partial(datasets.MNIST, train=train),
        "cifar10": partial(datasets.CIFAR10, train=train),
        "cifar100": partial(datasets.CIFAR100, train=train),
        "stl10": partial(datasets.STL10, split="train" if train else "test"),
    }[name]
    try:
        data = kind(root, download=False)
    except RuntimeError:
        data = _download(kind, name, root)
    except Exception as error:  # torchvision does not check the content of existing files
        files = Path(root).resolve()
        raise UserError(
            f"dataset.root={root}: the files of {name} in {files} are broken; remove or replace"
            " them"
        ) from error
    pixels = torch.as_tensor(np.asarray(data.data))
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)
    elif name != "stl10":  # whose channels already come first
        pixels = pixels.permute(0, 3, 1, 2)
    labels = data.labels if name == "stl10" else data.targets
    return Arrays(pixels.contiguous(), torch.as_tensor(np.asarray(labels)).long())


def _download(kind: Any, name: str, root: str) -> Any:
    print(f"{name}: not in {Path(root).resolve()}, downloading", file=sys.stderr)
    try:
        return kind(root, download=True)
    except Exception as error:  # torchvision raises RuntimeError, URLError, OSError and others
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        advice = (
            f"put the files there by hand ({LAYOUTS[name]}), or name the folder that has them with"
            " dataset.root="
        )
        raise UserError(
            f"dataset.root={root}: {name} is not there and cannot be downloaded ({reason});"
            f" {advice}"
        ) from error
