"""VICReg (Bardes, Ponce, LeCun 2022, arXiv:2105.04906) as in the authors' released code, and its
variance and covariance terms for a single batch."""

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
    """Returns the VICReg loss of paired rows (n, d), n >= 2, with its terms sim, std and cov,
    unweighted.

    - sim is the mean over n and d of (x - y)^2.
    - std is the mean over both views of v = mean_j relu(1 - sqrt(var_j + eps)), with the unbiased
      variance. It is 0 where every feature varies by 1 or more.
    - cov is the sum over both views of the squared off-diagonal covariances / d, with divisor
      n - 1.

    Computed in float32 or better, outside autocast. Raises ValueError for other shapes.
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
    """Returns the variance-covariance regulariser of one batch (n, d).

    It is VICReg without the invariance term, which needs two views. Its terms std and cov are those
    of vicreg for this batch alone. Its minimum 0 is reached by uncorrelated features that vary by 1
    or more. Raises ValueError for n < 2 or another rank.
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
