"""The head of DINO: maps features to logits over prototypes, through a bottleneck scaled to length
1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.losses.rows import at_least_float32


class PrototypeHead(nn.Module):
    """Maps (n, in_dim) to (n, prototypes): the cosines of a bottleneck with every prototype.

    Two GELU layers come before the bottleneck. As in Caron et al. 2021 the prototypes have a fixed
    length.
    """

    def __init__(
        self, in_dim: int, prototypes: int, hidden: int = 256, bottleneck: int = 64
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x)
        # a bfloat16 cosine is too coarse to be divided by a temperature of 0.04
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(
                F.normalize(at_least_float32(x), dim=-1), F.normalize(self.prototypes, dim=-1)
            )
