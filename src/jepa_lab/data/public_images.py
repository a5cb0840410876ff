"""Named data sets: scikit-learn's digits, which ship with it, and MNIST, CIFAR-10 and CIFAR-100 through torchvision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from jepa_lab.data.arrays import Arrays, hold_out, split_by_hash
from jepa_lab.errors import UserError

DIGITS_SPLIT = (1097, 340, 360)


def digits(image_size: int) -> dict[str, Arrays]:
    """scikit-learn's 1,797 handwritten digits: 1,097 to train, 340 to validate, 360 to test, fixed by a hash of each.

    The 8x8 images of 0..16 are stretched to 0..255 and enlarged bilinearly to image_size before rounding.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    small = torch.from_numpy(raw.images).float().unsqueeze(1) * (255.0 / 16.0)
    large = F.interpolate(small, size=(image_size, image_size), mode="bilinear", align_corners=False)
    images = large.round().clamp(0, 255).to(torch.uint8)
    keyed = Arrays(small.round().to(torch.uint8), torch.arange(len(small)))
    parts = split_by_hash(keyed, DIGITS_SPLIT)
    every = Arrays(images, torch.from_numpy(raw.target).long())
    return {name: every.take(part.labels) for name, part in parts.items()}  # type: ignore[arg-type]


def torchvision_set(name: str, root: str) -> dict[str, Arrays]:
    """MNIST, CIFAR-10 or CIFAR-100: a fixed tenth of the training images validates, the official test set tests.

    Downloads into root, with a progress bar, what is not there. UserError if it is not there and cannot be had.
    """
    parts = {part: _read(name, root, train=part == "train") for part in ("train", "test")}
    rest, val = hold_out(parts["train"], len(parts["train"].images) // 10)
    return {"train": rest, "val": val, "test": parts["test"]}


def _read(name: str, root: str, train: bool) -> Arrays:
    from torchvision import datasets

    kind: Any = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    try:
        data = kind(root, train=train, download=False)
    except RuntimeError:
        data = _download(kind, name, root, train)
    except Exception as error:  # torchvision does not check the content of files that are there
        files = Path(root).resolve()
        raise UserError(
            f"dataset.root={root}: the files of {name} in {files} are broken; remove or replace them"
        ) from error
    pixels = torch.as_tensor(np.asarray(data.data))
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return Arrays(images.contiguous(), torch.as_tensor(np.asarray(data.targets)).long())


def _download(kind: Any, name: str, root: str, train: bool) -> Any:
    print(f"{name}: not in {Path(root).resolve()}, downloading", file=sys.stderr)
    try:
        return kind(root, train=train, download=True)
    except Exception as error:  # torchvision raises RuntimeError, URLError, OSError, ... for one cause
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        advice = "put the files there by hand, or name the folder that has them with dataset.root="
        raise UserError(
            f"dataset.root={root}: {name} is not there and cannot be downloaded ({reason}); {advice}"
        ) from error
