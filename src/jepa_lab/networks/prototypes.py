"""The head of DINO: features to logits over prototypes, through a bottleneck of length 1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PrototypeHead(nn.Module):
    """(n, in_dim) -> (n, prototypes): two GELU layers, a bottleneck brought to length 1, and its
    cosine with every prototype (Caron et al. 2021, whose prototypes have a fixed length too)."""

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
        # a bfloat16 cosine over a temperature of 0.04 is coarse
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(F.normalize(x.float(), dim=-1), F.normalize(self.prototypes, dim=-1))
