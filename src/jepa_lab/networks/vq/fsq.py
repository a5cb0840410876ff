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

MARGIN = 1e-3  # keeps the outermost levels of a rounded tanh within reach


class FiniteScalarQuantizer(Quantizer):
    """x (n, d) -> m numbers (a linear map), bounded and rounded to levels[i] values each -> z (n,
    d) (a linear map).

    There is no codebook to learn, none to revive and no loss: K = the product of the levels, and a
    code is the number whose digits are the levels, the first the fastest (mixed radix). `codebook`
    lists what z can be, at present.
    """

    levels: Tensor
    basis: Tensor
    revivable = False

    def __init__(self, dim: int, levels: Sequence[int], **common: object) -> None:
        if not levels or min(levels) < 2:
            raise ValueError(
                f"levels must be two or more for each of one or more dimensions, got {list(levels)}"
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
        """(n, m) -> (n, m) in [-1, 1], levels[i] values in column i, evenly spaced; gradient of the
        bounding alone."""
        half = (self.levels - 1).to(y.dtype) * (1.0 + MARGIN) / 2.0
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0).to(y.dtype)
        bounded = torch.tanh(y + torch.atanh(offset / half)) * half - offset
        return straight_through(bounded, bounded.round()) / (self.levels // 2)

    def codes_of(self, values: Tensor) -> Tensor:
        """(n, m) of `rounded` -> (n,) int64 in 0..K-1."""
        half = self.levels // 2
        digits = (values * half).round().long() + half
        return (digits * self.basis).sum(dim=1)

    def values_of(self, codes: Tensor) -> Tensor:
        """(n,) codes -> the (n, m) values that they stand for: the inverse of codes_of."""
        half = self.levels // 2
        digits = codes.unsqueeze(1) // self.basis % self.levels
        return (digits - half).to(self.project_out.weight.dtype) / half
