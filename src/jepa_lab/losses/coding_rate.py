"""The coding rate R(Z) = logdet(I + alpha Z'Z / n): how many nats the features need, and the regulariser -R.

Ma et al. 2007; Yu et al. 2020 (MCR2, arXiv:2006.08558). Unnormalised, R grows without bound with the scale of Z, so a
model can buy rate by scale alone; `normalise_features` fixes the scale first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def coding_rate(z: Tensor, alpha: float = 1.0, center: bool = False) -> Tensor:
    """R of (n, d) features in nats, >= 0: a differentiable scalar in float32, or float64 for float64 features.

    By Cholesky of the smaller of I + alpha Z'Z/n (d, d) and I + alpha ZZ'/n (n, n), which have one determinant; again
    in float64 should that fail. `center` subtracts the batch mean. Computed outside autocast. ValueError for another
    rank or alpha <= 0.
    """
    if z.ndim != 2:
        raise ValueError(f"expected (n, d) features, got {tuple(z.shape)}")
    if alpha <= 0:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    with torch.autocast(z.device.type, enabled=False):
        z = z if z.dtype == torch.float64 else z.float()
        if center:
            z = z - z.mean(dim=0)
        n, d = z.shape
        gram = z @ z.T if n < d else z.T @ z
        matrix = torch.eye(len(gram), dtype=z.dtype, device=z.device) + gram * (alpha / n)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if z.dtype != torch.float64 and bool(info.any()):
            return coding_rate(z.double(), alpha).to(z.dtype)
        return 2.0 * factor.diagonal().log().sum()


def normalise_features(z: Tensor, how: str, center: bool = False) -> Tensor:
    """(n, d) features at a fixed scale: mean squared norm d, as independent unit-variance features would have.

    none: as they are; rows: every row to norm sqrt(d); trace: the whole matrix by one number, after centring where
    `center` is set. A zero row or matrix stays zero.
    """
    z = z if z.dtype == torch.float64 else z.float()
    if how == "none":
        return z
    if how == "rows":
        return F.normalize(z, dim=1) * z.shape[1] ** 0.5
    if how == "trace":
        spread = z - z.mean(dim=0) if center else z
        mean_square = spread.square().sum(dim=1).mean()
        return z * (z.shape[1] / mean_square.clamp_min(1e-12)).sqrt()
    raise ValueError(f"normalise is none, rows or trace, got {how!r}")


def resolve_alpha(alpha: float | str, d: int, how: str, eps: float = 0.5) -> float:
    """alpha as a number. "auto" is MCR2's d / eps^2, which is meant for unit rows; features normalised to norm sqrt(d)
    already carry the factor d, so there it is 1 / eps^2 (both give the same R)."""
    if alpha != "auto":
        return float(alpha)
    return (d if how == "none" else 1.0) / eps**2


class RateLoss(nn.Module):
    """-R of z_agg, of all observed z, or of both (their sum): the coding-rate regulariser without its weight."""

    def __init__(
        self, target: str = "z_agg", alpha: float | str = 1.0, normalise: str = "none", center: bool = False
    ) -> None:
        super().__init__()
        if target not in ("z_agg", "z", "both"):
            raise ValueError(f"target is z_agg, z or both, got {target!r}")
        self.target = target
        self.alpha = alpha
        self.normalise = normalise
        self.center = center

    def forward(self, z_agg: Tensor, z: Tensor) -> Tensor:
        """z_agg (B, Da), z (B, M, D) -> scalar."""
        loss = z_agg.new_zeros((), dtype=torch.float32)
        if self.target in ("z_agg", "both"):
            loss = loss - self._rate(z_agg)
        if self.target in ("z", "both"):
            loss = loss - self._rate(z.flatten(0, 1))
        return loss

    def _rate(self, z: Tensor) -> Tensor:
        alpha = resolve_alpha(self.alpha, z.shape[1], self.normalise)
        return coding_rate(normalise_features(z, self.normalise, self.center), alpha, self.center)
