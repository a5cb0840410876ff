"""The squared distance of a batch's mean to its own running average, which one public code calls
"DINO"."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.losses.center import EmaCenter
from jepa_lab.losses.rows import several_rows
from jepa_lab.losses.terms import LossTerms


class CenterPenalty(EmaCenter):
    """(n, dim) features, n >= 2 -> sum_j (mean_j - center_j)^2, no terms of its own.

    It rewards a collapse rather than prevent one: a constant embedding reaches 0 as soon as the
    centre has followed. There is neither softmax nor temperature nor teacher in it: DINO is
    DinoLoss. ValueError for other shapes.
    """

    def forward(self, z: Tensor) -> LossTerms:
        if z.ndim != 2 or z.shape[1] != len(self.center):
            raise ValueError(f"expected (n, {len(self.center)}) features, got {tuple(z.shape)}")
        with torch.autocast(z.device.type, enabled=False):
            z = several_rows(z)
            # a copy: the buffer moves before backward
            penalty = (z.mean(dim=0) - self.center.clone()).square().sum()
        if self.training:
            self.collect(z)
        return LossTerms(penalty, {})
