"""VICReg (Bardes, Ponce, LeCun 2022, arXiv:2105.04906), as in the authors' released code, and what
is left of it where there is only one batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses.rows import off_diagonal_squares, paired_rows, several_rows
from jepa_lab.losses.terms import LossTerms


def vicreg(
    x: Tensor,
    y: Tensor,
    sim_coeff: float = 25.0,
    std_coeff: float = 25.0,
    cov_coeff: float = 1.0,
    eps: float = 1e-4,
) -> LossTerms:
    """Invariance, variance and covariance of paired rows (n, d); n >= 2. Terms sim, std, cov,
    unweighted.

    sim: the mean over n and d of (x - y)^2. std: the mean of both views' v = mean_j relu(1 -
    sqrt(var_j + eps)), the variance unbiased: 0 where every feature varies by 1 or more. cov: the
    sum of both views' squared off-diagonal covariances / d, over n - 1. Float32 or better, outside
    autocast. ValueError for other shapes.
    """
    paired_rows(x, y)
    with torch.autocast(x.device.type, enabled=False):
        x, y = several_rows(x), several_rows(y)
        sim = F.mse_loss(x, y)
        std = (_variance(x, eps) + _variance(y, eps)) / 2
        cov = _covariance(x) + _covariance(y)
    return LossTerms(
        sim_coeff * sim + std_coeff * std + cov_coeff * cov, {"sim": sim, "std": std, "cov": cov}
    )


def variance_covariance(
    z: Tensor, std_coeff: float = 25.0, cov_coeff: float = 1.0, eps: float = 1e-4
) -> LossTerms:
    """The variance-covariance regulariser of one batch (n, d): VICReg without its invariance, which
    takes two views.

    Terms std and cov of this batch, as in vicreg. Least, 0, for uncorrelated features that vary by
    1 or more. ValueError for n < 2 or another rank.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = several_rows(z)
        std, cov = _variance(z, eps), _covariance(z)
    return LossTerms(std_coeff * std + cov_coeff * cov, {"std": std, "cov": cov})


def _variance(z: Tensor, eps: float) -> Tensor:
    return F.relu(1.0 - (z.var(dim=0) + eps).sqrt()).mean()


def _covariance(z: Tensor) -> Tensor:
    n, d = z.shape
    z = z - z.mean(dim=0)
    return off_diagonal_squares(z.T @ z / (n - 1)) / d
