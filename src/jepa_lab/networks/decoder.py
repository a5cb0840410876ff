"""A small convolutional decoder, latents -> images, for looking at what a frozen encoder kept."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4  # pixels a side of the first feature map, or a little more


class ConvDecoder(nn.Module):
    """Latents (n, dim) -> images (n, channels, size, size), unbounded: a linear layer to a map of about 4 x 4, then
    convolutions each of which turns channels into twice the resolution (Shi et al. 2016, arXiv:1609.05158), half as
    wide each time; what is too large is cut to `size`.

    Latents are first brought to length 1, then standardised by `mean` and `std` (dim,): the prediction loss leaves
    their length free, and a decoder that read it could not read predictions. A dimension without spread is left out.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, channels: int, size: int, *, width: int = 48, narrowest: int = 12) -> None:
        super().__init__()
        doublings = max(0, math.ceil(math.log2(size / SMALLEST)))
        self.size, self.start = size, math.ceil(size / 2**doublings)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        widths = [*(max(narrowest, width // 2**i) for i in range(max(doublings, 1))), channels]
        self.stem = nn.Linear(dim, widths[0] * self.start**2)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            factor = 2 if doublings else 1
            layers += [nn.ReLU(), nn.Conv2d(before, after * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.layers = nn.Sequential(*layers)

    def standardise(self, z: Tensor) -> None:
        """Sets `mean` and `std` to those of latents (n, dim)."""
        unit = F.normalize(z, dim=-1)
        spread = unit.std(dim=0, correction=0)
        self.mean.copy_(unit.mean(dim=0))
        self.std.copy_(torch.where(spread > 1e-6, spread, torch.full_like(spread, torch.inf)))

    def forward(self, z: Tensor) -> Tensor:
        x = (F.normalize(z, dim=-1) - self.mean) / self.std
        maps = self.stem(x).view(len(z), -1, self.start, self.start)
        return self.layers(maps)[..., : self.size, : self.size]
