"""A vision transformer: (n, C, H, W) float images -> (n, d) features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.aggregator import sincos_positions

STD = 0.02  # of weights at the start, normal and cut off at two
EPS = 1e-6  # of layer norm
MLP_RATIO = 4


class VisionTransformer(nn.Module):
    """A vision transformer without classifier (Dosovitskiy et al. 2021), in the form of DeiT
    (Touvron et al. 2021) with fixed positions.

    Patches are embedded linearly. Positions are 2-D sines and cosines, half of the features for the
    row and half for the column, as in MoCo v3 (Chen et al. 2021). Blocks are pre-norm, with layer
    norm and no batch norm. `pool` is "cls" (the output of a learned token) or "mean" (that of the
    patches, averaged; there is no learned token), after a last layer norm. `drop_path` is the rate
    of stochastic depth (Huang et al. 2016) in the last block, from 0 in the first.

    Raises UserError for images that are no multiple of the patches.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        *,
        patch_size: int,
        width: int,
        depth: int,
        heads: int,
        pool: str = "cls",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            sizes = [str(x) for x in range(2, image_size + 1) if image_size % x == 0]
            raise UserError(
                f"encoder.patch_size={patch_size}: views of {image_size}x{image_size} pixels are no"
                f" multiple of it; one of {', '.join(sizes)}"
            )
        self.dim, self.pool = width, pool
        self.patches = nn.Conv2d(in_channels, width, patch_size, stride=patch_size)
        self.cls = nn.Parameter(torch.zeros(1, 1, width)) if pool == "cls" else None
        # no part of a checkpoint, as it follows from the sizes
        self.register_buffer(
            "positions", grid_positions(image_size // patch_size, width), persistent=False
        )
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.Sequential(*(Block(width, heads, rate) for rate in rates))
        self.norm = nn.LayerNorm(width, eps=EPS)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=STD)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        if self.cls is not None:
            nn.init.trunc_normal_(self.cls, std=STD)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], 1)
        tokens = self.norm(self.blocks(tokens))
        return tokens[:, 0] if self.cls is not None else tokens.mean(dim=1)


class Block(nn.Module):
    """Attention and a two-layer MLP, each on normalised tokens (n, t, d) and added to them."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, eps=EPS)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop_path(self.attention(self.norm_1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm_2(tokens)))

    def attention(self, tokens: Tensor) -> Tensor:
        n, t, d = tokens.shape
        qkv = self.qkv(tokens).view(n, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(n, t, d))


class DropPath(nn.Module):
    """Stochastic depth: in training, each sample of a residual branch is set to zero at the rate
    `drop_prob`, and the others are scaled so that the mean stays."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0.0:
            return branch
        kept = 1.0 - self.drop_prob
        shape = (len(branch), *(1 for _ in branch.shape[1:]))
        return branch * branch.new_empty(shape).bernoulli_(kept).div_(kept)


def grid_positions(side: int, dim: int) -> Tensor:
    """Returns (side * side, dim) position codes of a square grid, row by row: the code of the row
    in the first half of the features, that of the column in the second. dim is even."""
    code = sincos_positions(side, dim // 2)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.cat([code[rows.flatten()], code[columns.flatten()]], dim=1)
