"""R² of a regression for each dimension."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor
from jepa_lab.metrics.scale import centred, check_features


def r2_per_dim(y: Array, y_hat: Array) -> Tensor:
    """Returns 1 - SS_residual / SS_total of (n, d) targets and predictions, (d,) float64.

    1 is perfect, and 0 is as good as predicting the mean. It is NaN where the target has no
    variance beyond four roundings of its own dtype. The caller takes the mean over dimensions
    (`nanmean`). Raises ValueError for unequal shapes, n < 2, or values that are not finite.
    """
    y, y_hat = as_tensor(y), as_tensor(y_hat)
    if y.shape != y_hat.shape:
        raise ValueError(
            f"expected two (n, d) of one shape, got {tuple(y.shape)} and {tuple(y_hat.shape)}"
        )
    eps = torch.finfo(y.dtype).eps if y.is_floating_point() else 0.0
    y, y_hat = check_features(y), check_features(y_hat)
    spread = centred(y).square().sum(dim=0)
    varies = spread > (4.0 * eps) ** 2 * y.square().sum(dim=0)
    score = 1.0 - (y - y_hat).square().sum(dim=0) / torch.where(
        varies, spread, torch.ones_like(spread)
    )
    return torch.where(varies, score, torch.full_like(score, math.nan))
