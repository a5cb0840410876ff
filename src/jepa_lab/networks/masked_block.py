"""A pre-norm transformer block whose attention is told, pair by pair, who may look at whom."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.errors import UserError


def allowed_pairs(live: Tensor, adjacency: Tensor | None = None) -> Tensor:
    """live (n, N) bool, adjacency (n, N, N) bool -> (n, 1, N, N) bool: whether place i may attend
    to place j.

    Live places attend to themselves and to their live neighbours, without an adjacency to all live
    ones; the others to themselves alone, so that no row is empty: a softmax over nothing is NaN.
    """
    pairs = live.unsqueeze(2) & live.unsqueeze(1)
    if adjacency is not None:
        pairs = pairs & adjacency
    return (pairs | torch.eye(live.shape[1], dtype=torch.bool, device=live.device)).unsqueeze(1)


class MaskedBlock(nn.Module):
    """(x (n, N, width), allowed (n, 1, N, N) bool) -> (n, N, width): attention, then a feed-forward
    of twice the width.

    Dropout on the attention weights and on both residual branches. UserError where heads do not
    divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"model.heads={heads}: the width {width} is not a multiple of it")
        self.heads = heads
        self.attention_dropout = dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width)
        self.ffn = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        x = x + self.dropout(self._attend(self.attention_norm(x), allowed))
        return x + self.dropout(self.ffn(self.ffn_norm(x)))

    def _attend(self, x: Tensor, allowed: Tensor) -> Tensor:
        n, places, width = x.shape
        q, k, v = self.qkv(x).view(n, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).reshape(n, places, width))
