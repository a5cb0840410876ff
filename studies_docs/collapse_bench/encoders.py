"""The networks of the benchmark, written as in plain PyTorch projects: small residual networks, a
convolutional one without norm, perceptrons and a small vision transformer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

NETWORKS = ("resnet", "resnet18", "cnn", "mlp_bn", "mlp", "vit")
SMALL = ((16, 1), (32, 1), (64, 2))
# the 18 layers of He et al. 2016 with an eighth of the channels
NARROW_18 = ((8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1))
NORMS = {"resnet": "batch", "resnet18": "batch", "mlp_bn": "batch", "vit": "layer"}


def build(name: str, channels: int, size: int) -> nn.Module:
    """Returns an untrained network (n, channels, size, size) -> (n, d) with d as `.dim`."""
    if name == "resnet":
        return ResNet(channels, size, SMALL)
    if name == "resnet18":
        return ResNet(channels, size, NARROW_18)
    if name == "cnn":
        return PlainCNN(channels)
    if name == "vit":
        return SmallViT(channels, size)
    return Perceptron(channels * size * size, norm=NORMS.get(name, ""))


class ResNet(nn.Module):
    """A residual network (He et al. 2016) of basic blocks (width, stride). Its stem has stride 2
    unless images are of 8 pixels."""

    dim = 64

    def __init__(self, channels: int, size: int, blocks: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        before = blocks[0][0]
        stem = nn.Conv2d(channels, before, 3, 2 if size > 8 else 1, padding=1, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(before), nn.ReLU()]
        for width, stride in blocks:
            shortcut = None
            if stride != 1 or before != width:
                shortcut = nn.Sequential(
                    nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
                )
            layers.append(BasicBlock(before, width, stride, shortcut))
            before = width
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean(dim=(2, 3))


class PlainCNN(nn.Module):
    """Three convolutions without any norm."""

    dim = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean(dim=(2, 3))


class Perceptron(nn.Module):
    """Two hidden layers on the flattened image, with or without norm."""

    dim = 64

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.layers = mlp((width, 256, 128, 64), norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


class SmallViT(nn.Module):
    """A pre-norm vision transformer of two layers on 9 or 16 patches, read as the mean of its
    tokens."""

    dim = 32

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        patch = size // 4 if size == 8 else size // 3
        self.patches = nn.Conv2d(channels, self.dim, patch, stride=patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, (size // patch) ** 2, self.dim))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    self.dim, 2, 64, dropout=0.0, batch_first=True, norm_first=True
                )
                for _ in range(2)
            )
        )
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.norm(self.layers(tokens)).mean(dim=1)


def mlp(widths: Sequence[int], norm: str) -> nn.Sequential:
    """Returns linear layers with ReLU between them, after "batch" or "layer" norm or none ("")."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers.append(nn.Linear(before, after))
        if i < len(widths) - 2:
            if norm:
                layers.append(nn.BatchNorm1d(after) if norm == "batch" else nn.LayerNorm(after))
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
