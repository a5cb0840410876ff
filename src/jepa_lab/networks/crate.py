"""CRATE (Yu et al. 2023, arXiv:2306.01129): attention that compresses, then a step towards a sparse
code.

A block first maps tokens x to x' = x + W_o concat_h[softmax(U_h U_h' / sqrt(d_h)) U_h]. The U_h are
the heads of one projection of LayerNorm(x), so queries, keys and values are the same. The block
returns ReLU(y + eta D'(y - D y) - eta lambda) with y = LayerNorm(x') and a square dictionary D.
This is one ISTA step, without a residual around it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.aggregator import TokenAggregator


class SubspaceAttention(nn.Module):
    """MSSA: maps tokens (B, N, D) to (B, N, D), without the residual, which the block adds. Raises
    UserError unless heads divides D."""

    def __init__(self, dim: int, heads: int, key: str = "model.heads") -> None:
        super().__init__()
        if dim % heads:
            raise UserError(
                f"{key}={heads}: the token width {dim} (encoder + action) is not a multiple of it"
            )
        self.heads = heads
        self.subspaces = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        u = self.subspaces(x).view(b, n, self.heads, d // self.heads).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(u, u, u)
        return self.out(mixed.transpose(1, 2).reshape(b, n, d))


class SparseStep(nn.Module):
    """One ISTA step from z = x for 0.5 |x - D z|^2 + sparsity |z|_1, z >= 0: (..., D) -> (..., D),
    all entries >= 0. `zero_share` is the share of zeros in the last output, a detached scalar."""

    def __init__(self, dim: int, eta: float, sparsity: float) -> None:
        super().__init__()
        self.dictionary = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(dim, dim)))
        self.eta = eta
        self.sparsity = sparsity
        self.zero_share: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        residual = x - x @ self.dictionary.T
        z = F.relu(x + self.eta * (residual @ self.dictionary) - self.eta * self.sparsity)
        self.zero_share = (z == 0).float().mean().detach()
        return z


class CrateBlock(nn.Module):
    """Maps tokens (B, N, D) to (B, N, D): subspace attention with a residual, then a sparse step
    without one."""

    def __init__(
        self, dim: int, heads: int, eta: float, sparsity: float, key: str = "model.heads"
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SubspaceAttention(dim, heads, key)
        self.step_norm = nn.LayerNorm(dim)
        self.step = SparseStep(dim, eta, sparsity)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return self.step(self.step_norm(x))


class CrateAggregator(TokenAggregator):
    """CRATE blocks over an [AGG] token."""

    def __init__(
        self,
        dim: int,
        *,
        depth: int = 3,
        heads: int = 4,
        eta: float = 0.1,
        sparsity: float = 0.1,
        positions: str = "sincos",
        max_views: int = 32,
    ) -> None:
        # It does not start at zero: the first LayerNorm would multiply its gradient by 300, and
        # gradient clipping would then suppress all other gradients.
        agg_token = torch.randn(1, 1, dim)
        super().__init__(
            agg_token, lambda: CrateBlock(dim, heads, eta, sparsity), depth, positions, max_views
        )


class CratePredictor(nn.Module):
    """Maps concat(z_agg, action embedding) (n, Da + P) to z_hat (n, out_dim).

    CRATE blocks act on two tokens, z_agg and a linear map of the embedding to Da. The first token
    is read out linearly.
    """

    def __init__(
        self,
        aggregate_dim: int,
        action_dim: int,
        out_dim: int,
        *,
        depth: int = 2,
        heads: int = 4,
        eta: float = 0.1,
        sparsity: float = 0.1,
    ) -> None:
        super().__init__()
        self.widths = [aggregate_dim, action_dim]
        self.widen = nn.Linear(action_dim, aggregate_dim)
        key = "model.predictor_heads"
        self.blocks = nn.ModuleList(
            CrateBlock(aggregate_dim, heads, eta, sparsity, key) for _ in range(depth)
        )
        self.out = nn.Linear(aggregate_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        z_agg, action = x.split(self.widths, dim=-1)
        tokens = torch.stack([z_agg, self.widen(action)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.out(tokens[:, 0])


def zero_shares(module: nn.Module) -> dict[str, Tensor]:
    """Returns {name of a sparse step within `module`: share of zeros in its last output}."""
    steps = ((name, part) for name, part in module.named_modules() if isinstance(part, SparseStep))
    return {
        name.replace(".step", ""): s.zero_share for name, s in steps if s.zero_share is not None
    }
