"""The token encoder of the ARC study: one vector per token, and their mean per grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.masked_block import MaskedBlock, allowed_pairs
from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens

ATTENTION = ("adjacency", "full")
ENTRIES = NO_COLOR + 1  # the ten colours, and "no colour"


class TokenEncoder(nn.Module):
    """Maps GridTokens of n grids with N places to (n, N, width), exactly zero at places without a
    token.

    Each of the n_colors colours of a token is embedded by the table of its position. With
    n_colors = 0 colours are not read: the published 23 features hold the colour as a number.
    Features are embedded by a linear map. The sum of the embeddings passes through GELU and a
    linear map. `depth` pre-norm blocks follow, in which a token attends to itself and its
    neighbours (attention "adjacency") or to all tokens of its grid ("full"). A final LayerNorm
    bounds the scale. Without it (`final_norm` false, as published) the scale is free. The contents
    of places without a token have no influence. Raises UserError for heads that do not divide the
    width and for an unknown attention, ValueError for tokens of other sizes.
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
        # A linear map of one-hot colours is an embedding table for each position.
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
        """Returns features and one-hot colours (n, N, n_features + 11 n_colors), zero at places
        without a token."""
        features = tokens.features.shape[-1]
        colors = tokens.colors.shape[-1] if self.n_colors else 0
        if (features, colors) != (self.n_features, self.n_colors):
            expected = f"{self.n_features} features and {self.n_colors} colours"
            raise ValueError(f"expected tokens of {expected}, got {features} and {colors}")
        parts = [tokens.features]
        if self.n_colors:
            parts.append(F.one_hot(tokens.colors, ENTRIES).flatten(-2).to(tokens.features.dtype))
        # A place without a token may hold NaN, and attention would compute 0 times NaN = NaN.
        return torch.cat(parts, dim=-1).masked_fill(~tokens.mask.unsqueeze(-1), 0.0)


def grid_vectors(z: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean over the tokens of each grid (n, width), for z (n, N, width) and mask (n, N)
    bool. It is zero for a grid without tokens."""
    weight = mask.unsqueeze(-1).to(z.dtype)
    total = z.masked_fill(~mask.unsqueeze(-1), 0.0).sum(dim=1)
    return total / weight.sum(dim=1).clamp_min(1.0)


@torch.no_grad()
def _balance(weight: Tensor, n_features: int, n_colors: int) -> None:
    """Initialises weights so that colours and features have equal influence.

    The n_colors inputs of 1 and the n_features inputs of order 1 each add variance of about 1 to a
    unit's sum, whatever their numbers. With the default initialisation by fan-in, colours would be
    small beside the bias.
    """
    if n_features:
        weight[:, :n_features].normal_(std=n_features**-0.5)
    weight[:, n_features:].normal_(std=n_colors**-0.5)
