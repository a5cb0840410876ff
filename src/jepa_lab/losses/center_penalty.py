"""The squared distance of a batch's mean to its own running average. One public code calls it
"DINO"."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.losses.center import EmaCenter
from jepa_lab.losses.rows import several_rows
from jepa_lab.losses.terms import LossTerms


class CenterPenalty(EmaCenter):
    """Maps features (n, dim), n >= 2, to sum_j (mean_j - center_j)^2. It has no terms.

    It rewards collapse instead of preventing it: a constant embedding reaches 0 as soon as the
    centre has caught up with it. It has no softmax, no temperature and no teacher. DINO itself is
    DinoLoss. Raises ValueError for other shapes.
    """

    def forward(self, z: Tensor) -> LossTerms:
        if z.ndim != 2 or z.shape[1] != len(self.center):
            raise ValueError(f"expected (n, {len(self.center)}) features, got {tuple(z.shape)}")
        with torch.autocast(z.device.type, enabled=False):
            z = several_rows(z)
            # a copy, since the buffer moves before the backward pass
            penalty = (z.mean(dim=0) - self.center.clone()).square().sum()
        if self.training:
            self.collect(z)
        return LossTerms(penalty, {})
