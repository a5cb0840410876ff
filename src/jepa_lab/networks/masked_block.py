"""A pre-norm transformer block whose attention is restricted to allowed pairs of places."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.errors import UserError


def allowed_pairs(live: Tensor, adjacency: Tensor | None = None) -> Tensor:
    """Maps live (n, N) bool and adjacency (n, N, N) bool to a mask (n, 1, N, N) bool, true where
    place i may attend to place j.

    Live places attend to themselves and to their live neighbours, or without an adjacency to all
    live places. Other places attend to themselves alone, since a softmax over an empty row is NaN.
    """
    pairs = live.unsqueeze(2) & live.unsqueeze(1)
    if adjacency is not None:
        pairs = pairs & adjacency
    return (pairs | torch.eye(live.shape[1], dtype=torch.bool, device=live.device)).unsqueeze(1)


class MaskedBlock(nn.Module):
    """Maps x (n, N, width) and allowed (n, 1, N, N) bool to (n, N, width).

    Attention is followed by a feed-forward layer of twice the width. Dropout acts on the attention
    weights and on both residual branches. Raises UserError if heads does not divide the width.
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
