"""FiniteScalarQuantizer: a few bounded numbers, each rounded to a few levels (Mentzer et al.,
arXiv:2309.15505)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.vq.base import Quantizer
from jepa_lab.networks.vq.maths import straight_through

MARGIN = 1e-3  # widens the tanh so that its outermost levels can be reached


class FiniteScalarQuantizer(Quantizer):
    """Maps x (n, d) linearly to m numbers, bounds and rounds them to levels[i] values each, and
    maps them linearly to z (n, d).

    It has no loss and no codebook to learn or revive. K is the product of the levels. The rounded
    numbers are the digits of a code in mixed radix, where the first digit varies fastest.
    `codebook` lists all present values of z.
    """

    levels: Tensor
    basis: Tensor
    revivable = False

    def __init__(self, dim: int, levels: Sequence[int], **common: object) -> None:
        if not levels or min(levels) < 2:
            raise ValueError(
                f"levels must list one or more dimensions of at least 2 each, got {list(levels)}"
            )
        super().__init__(dim, math.prod(levels), **common)  # type: ignore[arg-type]
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)
        digits = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("basis", torch.tensor(digits), persistent=False)
        self.project_in = nn.Linear(dim, len(levels))
        self.project_out = nn.Linear(len(levels), dim)

    @property
    def codebook(self) -> Tensor:
        return self.project_out(self.values_of(torch.arange(self.size, device=self.basis.device)))

    def assign(self, x: Tensor) -> Tensor:
        return self.codes_of(self.rounded(self.project_in(x)))

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, LossTerms]:
        values = self.rounded(self.project_in(x))
        return (
            self.project_out(values),
            self.codes_of(values.detach()),
            LossTerms(x.sum() * 0.0, {}),
        )

    def rounded(self, y: Tensor) -> Tensor:
        """Maps (n, m) to (n, m) in [-1, 1], with levels[i] evenly spaced values in column i. The
        gradient is that of the bounding alone."""
        half = (self.levels - 1).to(y.dtype) * (1.0 + MARGIN) / 2.0
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0).to(y.dtype)
        bounded = torch.tanh(y + torch.atanh(offset / half)) * half - offset
        return straight_through(bounded, bounded.round()) / (self.levels // 2)

    def codes_of(self, values: Tensor) -> Tensor:
        """Maps (n, m) values of `rounded` to (n,) int64 codes in 0..K-1. NaN, as of a diverged
        network, counts as the middle level."""
        half = self.levels // 2
        digits = (values.nan_to_num() * half).round().long() + half
        return (digits * self.basis).sum(dim=1)

    def values_of(self, codes: Tensor) -> Tensor:
        """Maps (n,) codes to their (n, m) values, the inverse of codes_of."""
        half = self.levels // 2
        digits = codes.unsqueeze(1) // self.basis % self.levels
        return (digits - half).to(self.project_out.weight.dtype) / half
