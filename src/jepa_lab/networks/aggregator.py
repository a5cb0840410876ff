"""The transformer with an [AGG] token that turns a sequence of view tokens into one aggregate."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from jepa_lab.devices import sent
from jepa_lab.errors import UserError


def sincos_positions(length: int, dim: int) -> Tensor:
    """Returns (length, dim) fixed sine and cosine position codes (Vaswani et al. 2017). dim may be
    odd."""
    position = torch.arange(length, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10_000.0) / dim))
    code = torch.zeros(length, dim)
    code[:, 0::2] = torch.sin(position * rate)
    code[:, 1::2] = torch.cos(position * rate)[:, : dim // 2]
    return code


class TokenAggregator(nn.Module):
    """Maps tokens (B, M, D) to z_agg (B, D). The [AGG] token is prepended and read after the last
    block.

    `agg_token` (1, 1, D) is its initial value. `block` makes each of the `depth` blocks.
    `positions` is "none", "sincos" for any M, or "learned" for at most max_views tokens.
    """

    def __init__(
        self,
        agg_token: Tensor,
        block: Callable[[], nn.Module],
        depth: int,
        positions: str,
        max_views: int,
    ) -> None:
        super().__init__()
        dim = agg_token.shape[-1]
        self.agg_token = nn.Parameter(agg_token)
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.positions = positions
        self._tables: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}
        self.position_code = (
            nn.Parameter(torch.randn(1, max_views, dim) * 0.02) if positions == "learned" else None
        )

    def forward(self, tokens: Tensor) -> Tensor:
        b, m, d = tokens.shape
        if self.position_code is not None:
            if m > self.position_code.shape[1]:
                raise ValueError(
                    f"got {m} views, but learned positions for {self.position_code.shape[1]} only"
                )
            tokens = tokens + self.position_code[:, :m]
        elif self.positions == "sincos":
            tokens = tokens + self._table(m, tokens)
        x = torch.cat([self.agg_token.expand(b, 1, d).to(tokens.dtype), tokens], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x[:, 0])

    def _table(self, length: int, like: Tensor) -> Tensor:
        key = length, like.dtype, like.device
        if key not in self._tables:
            with torch.inference_mode(False):
                self._tables[key] = sent(sincos_positions(length, like.shape[-1]), like)
        return self._tables[key]


class TransformerAggregator(TokenAggregator):
    """A transformer over the tokens and a learnable [AGG] token.

    Without positions (as published) the tokens are a set: only the action embeddings and the zero
    slot of the last token show their order, so any M is accepted at any time. Blocks are post-norm
    (as published) or pre-norm, with ReLU and a feed-forward width of ffn_ratio * D.
    """

    def __init__(
        self,
        dim: int,
        *,
        depth: int = 3,
        heads: int = 4,
        ffn_ratio: int = 4,
        dropout: float = 0.1,
        norm_first: bool = False,
        positions: str = "none",
        max_views: int = 32,
    ) -> None:
        if dim % heads:
            raise UserError(
                f"model.heads={heads}: the token width {dim} (encoder + action) is not a multiple"
                " of it"
            )

        def block() -> nn.Module:
            return nn.TransformerEncoderLayer(
                dim,
                heads,
                ffn_ratio * dim,
                dropout=dropout,
                batch_first=True,
                norm_first=norm_first,
            )

        super().__init__(torch.zeros(1, 1, dim), block, depth, positions, max_views)


class MeanAggregator(nn.Module):
    """An aggregator that learns nothing: the mean over the view tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(dim=1)
