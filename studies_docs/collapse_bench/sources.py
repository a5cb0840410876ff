"""The data sets of the benchmark: three public ones and two synthetic ones with known factors, as
small float images in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.datasets import MNIST

SEED = 20  # of the splits and of the synthetic images
TRAIN, VAL, TEST = 2000, 256, 800


@dataclass(frozen=True)
class Part:
    """Images (N, C, H, W) in [0, 1], labels (N,) int64, and known factors (N, F), F = 0 for
    photographs and digits."""

    images: Tensor
    labels: Tensor
    factors: Tensor

    def take(self, index: Tensor) -> Part:
        """Returns the images at these positions."""
        return Part(self.images[index], self.labels[index], self.factors[index])


@dataclass(frozen=True)
class Source:
    """A data set in three parts. The monitor sees `val`, the oracle `train` and `test`."""

    name: str
    train: Part
    val: Part
    test: Part

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return int(self.train.labels.max()) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """The channels and the size of the images."""
        return self.train.images.shape[1], self.train.images.shape[2]


def data_folder() -> Path:
    """Returns the folder of MNIST and of CIFAR-10's subset, from JEPA_LAB_DATA."""
    folder = os.environ.get("JEPA_LAB_DATA")
    if not folder:
        raise SystemExit("set JEPA_LAB_DATA to the folder with MNIST/raw and cifar10_subset.npz")
    return Path(folder)


@cache
def load(name: str) -> Source:
    """Returns a source by name, one of SOURCES."""
    return SOURCES[name]()


def _digits() -> Source:
    raw = load_digits()
    images = torch.from_numpy(raw.images).float().unsqueeze(1) / 16
    return _split("digits", _part(images, torch.from_numpy(raw.target)), test=500)


def _mnist() -> Source:
    parts = []
    for train, n in ((True, TRAIN + VAL), (False, TEST)):
        data = MNIST(str(data_folder()), train=train, download=False)
        small = F.adaptive_avg_pool2d(data.data[:n].float().unsqueeze(1) / 255, 12)
        parts.append(_part(small, data.targets[:n]))
    return _official("mnist", *parts)


def _cifar10() -> Source:
    with np.load(data_folder() / "cifar10_subset.npz") as file:
        parts = [
            _part(
                F.adaptive_avg_pool2d(torch.from_numpy(file[f"{k}_images"][:n]).float() / 255, 12),
                torch.from_numpy(file[f"{k}_labels"][:n]),
            )
            for k, n in (("train", TRAIN + VAL), ("test", TEST))
        ]
    return _official("cifar10", *parts)


def _shapes() -> Source:
    """Renders four shapes of known size and aspect ratio at random places and brightness."""
    n, grid = TRAIN + VAL + TEST, torch.linspace(-1, 1, 12)
    g = torch.Generator().manual_seed(SEED)
    labels = torch.randint(4, (n,), generator=g)
    size, aspect = 0.35 + 0.4 * torch.rand(n, generator=g), torch.rand(n, generator=g)
    place = 0.3 * (2 * torch.rand(n, 2, generator=g) - 1)
    x = (grid.view(1, 1, -1) - place[:, :1, None]) / (size * (0.7 + 0.6 * aspect)).view(-1, 1, 1)
    y = (grid.view(1, -1, 1) - place[:, 1:, None]) / (size * (1.3 - 0.6 * aspect)).view(-1, 1, 1)
    r = (x.square() + y.square()).sqrt()
    inside = [1 - r, 0.3 - (r - 0.8).abs(), 0.9 - torch.maximum(x.abs(), y.abs()) + 0 * r]
    arms = torch.maximum(0.25 - x.abs(), 0.25 - y.abs())
    inside.append(torch.minimum(arms, 1 - torch.maximum(x.abs(), y.abs())))
    drawn = torch.sigmoid(8 * torch.stack(inside, dim=1)[torch.arange(n), labels])
    bright = 0.6 + 0.4 * torch.rand(n, 1, 1, generator=g)
    images = drawn * bright + 0.05 * torch.randn(n, 12, 12, generator=g)
    return _split("shapes", _part(images.unsqueeze(1), labels, torch.stack([size, aspect], 1)))


def _gratings() -> Source:
    """Renders gratings of known frequency and orientation with a random phase. The class is one of
    three frequencies times one of three orientations."""
    n, grid = TRAIN + VAL + TEST, torch.linspace(-1, 1, 12)
    g = torch.Generator().manual_seed(SEED + 1)
    frequency, angle = torch.rand(n, generator=g), math.pi * torch.rand(n, generator=g)
    labels = (3 * frequency).long() * 3 + (3 * angle / math.pi).long()
    phase = 2 * math.pi * torch.rand(n, generator=g)
    wave = math.pi * (0.7 + 1.6 * frequency)
    along = grid.view(1, 1, -1) * angle.cos().view(-1, 1, 1)
    along = along + grid.view(1, -1, 1) * angle.sin().view(-1, 1, 1)
    images = 0.5 + 0.4 * torch.sin(wave.view(-1, 1, 1) * along + phase.view(-1, 1, 1))
    images = images + 0.05 * torch.randn(n, 12, 12, generator=g)
    factors = torch.stack([frequency, (2 * angle).cos(), (2 * angle).sin()], dim=1)
    return _split("gratings", _part(images.unsqueeze(1), labels, factors))


def _part(images: Tensor, labels: Tensor, factors: Tensor | None = None) -> Part:
    images = images.float().clamp(0, 1).contiguous()
    factors = torch.zeros(len(images), 0) if factors is None else factors
    return Part(images, labels.long(), factors)


def _split(name: str, every: Part, test: int = TEST) -> Source:
    order = torch.randperm(len(every.labels), generator=torch.Generator().manual_seed(SEED))
    held, rest = order[:test], order[test:]
    return Source(name, every.take(rest[VAL:]), every.take(rest[:VAL]), every.take(held))


def _official(name: str, train: Part, test: Part) -> Source:
    order = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(SEED))
    return Source(name, train.take(order[VAL:]), train.take(order[:VAL]), test)


SOURCES: dict[str, Callable[[], Source]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "shapes": _shapes,
    "gratings": _gratings,
}
