"""The token encoder of the ARC study: from the tokens of a grid to one vector per token, and per
grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.masked_block import MaskedBlock, allowed_pairs
from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens

ATTENTION = ("adjacency", "full")
ENTRIES = NO_COLOR + 1  # the ten colours, and none


class TokenEncoder(nn.Module):
    """GridTokens of n grids, N places -> (n, N, width); exactly zero where there is no token.

    Each of a token's n_colors colours is embedded by a table of its own position (0: the colours
    are not read, as in the published 23 features, which hold the colour as a number), the features
    by a linear map; their sum goes on through GELU and a linear map. Then `depth` pre-norm blocks
    in which a token sees itself and its neighbours (attention "adjacency") or all tokens of its
    grid ("full"). A last LayerNorm bounds the scale; without it (`final_norm` false, as published)
    the scale is free. What places without a token hold has no influence. UserError for heads that
    do not divide the width and an unknown attention, ValueError for tokens of other sizes.
    """

    def __init__(
        self,
        n_features: int,
        n_colors: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float = 0.0,
        attention: str = "adjacency",
        final_norm: bool = True,
    ) -> None:
        super().__init__()
        if attention not in ATTENTION:
            raise UserError(f"model.attention={attention}: one of {', '.join(ATTENTION)}")
        if n_features + n_colors < 1:
            raise ValueError("tokens need features or colours, got neither")
        self.n_features = n_features
        self.n_colors = n_colors
        self.attention = attention
        # on one-hot colours: a table per position
        self.read = nn.Linear(n_features + ENTRIES * n_colors, width)
        if n_colors:
            _balance(self.read.weight, n_features, n_colors)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(MaskedBlock(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width) if final_norm else nn.Identity()

    def forward(self, tokens: GridTokens) -> Tensor:
        live = tokens.mask
        z = self.mix(self.read(self._inputs(tokens)))
        allowed = allowed_pairs(live, tokens.adjacency if self.attention == "adjacency" else None)
        for block in self.blocks:
            z = block(z, allowed)
        return self.norm(z).masked_fill(~live.unsqueeze(-1), 0.0)

    def _inputs(self, tokens: GridTokens) -> Tensor:
        """(n, N, n_features + 11 n_colors): features and one-hot colours, zero where there is no
        token."""
        features = tokens.features.shape[-1]
        colors = tokens.colors.shape[-1] if self.n_colors else 0
        if (features, colors) != (self.n_features, self.n_colors):
            expected = f"{self.n_features} features and {self.n_colors} colours"
            raise ValueError(f"expected tokens of {expected}, got {features} and {colors}")
        parts = [tokens.features]
        if self.n_colors:
            parts.append(F.one_hot(tokens.colors, ENTRIES).flatten(-2).to(tokens.features.dtype))
        # An unread place must not even pass on a NaN: 0 times NaN, as attention computes it, is
        # NaN.
        return torch.cat(parts, dim=-1).masked_fill(~tokens.mask.unsqueeze(-1), 0.0)


def grid_vectors(z: Tensor, mask: Tensor) -> Tensor:
    """z (n, N, width), mask (n, N) bool -> (n, width), the mean over a grid's tokens; zero for a
    grid without one."""
    weight = mask.unsqueeze(-1).to(z.dtype)
    total = z.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)
    return total / weight.sum(dim=1).clamp_min(1.0)


@torch.no_grad()
def _balance(weight: Tensor, n_features: int, n_colors: int) -> None:
    """Colours and features start with the same say: n_colors inputs of 1 and n_features of the
    order of 1 each reach a unit's sum with variance about 1, whatever their numbers. By fan-in,
    colours would be drowned by the bias."""
    if n_features:
        weight[:, :n_features].normal_(std=n_features**-0.5)
    weight[:, n_features:].normal_(std=n_colors**-0.5)
