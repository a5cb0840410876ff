"""The coding rate R(Z) = logdet(I + alpha Z'Z / n): how many nats the features need, and the
regulariser -R.

Ma et al. 2007; Yu et al. 2020 (MCR2, arXiv:2006.08558), whose R is half of this. Unnormalised, R
grows without bound with the scale of Z, so a model can buy rate by scale alone;
`normalise_features` fixes the scale first.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.losses.rows import at_least_float32

NORMALISE = ("none", "rows", "trace")


def coding_rate(z: Tensor, alpha: float = 1.0, center: bool = False) -> Tensor:
    """R of (n, d) features in nats, >= 0: a differentiable scalar in float32, or float64 for
    float64 features.

    By Cholesky of the smaller of I + alpha Z'Z/n (d, d) and I + alpha ZZ'/n (n, n), which have one
    determinant; again in float64 should rounding make that fail. `center` subtracts the batch mean.
    Computed outside autocast. NaN for features that are not finite: a diverged run shows as such.
    ValueError for another rank, n = 0 or alpha <= 0.
    """
    if z.ndim != 2 or len(z) < 1:
        raise ValueError(f"expected (n, d) features, n >= 1, got {tuple(z.shape)}")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha must be finite and above 0, got {alpha}")
    with torch.autocast(z.device.type, enabled=False):
        z = z if z.dtype == torch.float64 else z.float()
        if center:
            z = z - z.mean(dim=0)
        rate, failed = _log_determinant(z, alpha)
        if z.dtype != torch.float64 and z.device.type != "mps" and bool(failed):
            rate = _log_determinant(z.double(), alpha)[0].to(z.dtype)
        return rate


def _log_determinant(z: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """logdet(I + alpha Z'Z/n) and whether the factorisation failed: then it is NaN, never a part of
    the diagonal."""
    n, d = z.shape
    z = z * math.sqrt(alpha / n)
    gram = z @ z.T if n < d else z.T @ z
    factor, info = torch.linalg.cholesky_ex(
        gram + torch.eye(len(gram), dtype=z.dtype, device=z.device)
    )
    failed = info != 0
    rate = 2.0 * factor.diagonal().log().sum()
    return torch.where(failed, torch.full_like(rate, math.nan), rate), failed


def normalise_features(z: Tensor, how: str, center: bool = False) -> Tensor:
    """(n, d) features at a fixed scale: mean squared norm d, as independent unit-variance features
    would have.

    none: as they are; rows: every row to norm sqrt(d); trace: the whole matrix by one number so
    that trace(Z'Z/n) = d, after subtracting the mean where `center` is set. A zero row or matrix
    stays zero; variation below 1e-6 of the features' own length is rounding and is not blown up.
    Float32, or float64 for float64 features.
    """
    if z.ndim != 2 or len(z) < 1:
        raise ValueError(f"expected (n, d) features, n >= 1, got {tuple(z.shape)}")
    z = z if z.dtype == torch.float64 else z.float()
    if how == "none":
        return z
    if how == "rows":
        return F.normalize(z, dim=1) * z.shape[1] ** 0.5
    if how == "trace":
        size = z.square().sum(dim=1).mean()
        z = z - z.mean(dim=0) if center else z
        mean_square = torch.maximum(z.square().sum(dim=1).mean(), 1e-12 * size).clamp_min(1e-30)
        return z * (z.shape[1] / mean_square).sqrt()
    raise ValueError(f"normalise is one of {', '.join(NORMALISE)}, got {how!r}")


def resolve_alpha(alpha: float | str, d: int, how: str = "none", eps: float = 0.5) -> float:
    """alpha as a number. "auto" is MCR2's d / eps^2, which is meant for unit rows.

    rows, trace: the features already carry mean squared norm d, so there it is 1 / eps^2, the same
    R as d / eps^2 of unit rows. none: d / eps^2 on the features as they come; right if the network
    itself gives them norm 1. A number is taken as it is: alpha = 1 is the natural scale of
    normalised features. ValueError for anything else.
    """
    if how not in NORMALISE:
        raise ValueError(f"normalise is one of {', '.join(NORMALISE)}, got {how!r}")
    if isinstance(alpha, str) and alpha != "auto":
        raise ValueError(f'alpha is a number or "auto", got {alpha!r}')
    value = (d if how == "none" else 1.0) / eps**2 if isinstance(alpha, str) else float(alpha)
    if not 0 < value < math.inf:
        raise ValueError(f"alpha must be finite and above 0, got {value}")
    return value


def mcr2_rate(z: Tensor, eps: float = 0.5) -> Tensor:
    """1/2 logdet(I + d / (n eps) Z'Z) of (n, d) features, as they come. Scalar >= 0,
    differentiable, float32 or better.

    ValueError for another rank or eps <= 0.
    """
    return 0.5 * coding_rate(z, alpha=_alpha(z, eps))


def simdino_expansion(z: Tensor, eps: float = 0.5) -> Tensor:
    """(d + n) / (d n) times mcr2_rate of (n, d) features with their rows brought to length 1.

    ValueError for another rank or eps <= 0.
    """
    alpha = _alpha(z, eps)
    n, d = z.shape
    return 0.5 * (d + n) / (d * n) * coding_rate(F.normalize(at_least_float32(z), dim=1), alpha)


def _alpha(z: Tensor, eps: float) -> float:
    if z.ndim != 2:
        raise ValueError(f"expected (n, d) features, got {tuple(z.shape)}")
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")
    return z.shape[1] / eps


TARGETS = ("z_agg", "z", "both")
FORMS = ("logdet", "mcr2", "simdino")


class RateLoss(nn.Module):
    """-R of z_agg, of all observed z, or of both (their sum): the coding-rate regulariser without
    its weight.

    `target`: z_agg | z | both; `alpha`, `normalise`: see resolve_alpha and normalise_features;
    `center` subtracts the mean over the batch. `form`: logdet is R; mcr2 and simdino are the
    released codes' (eps .5, alpha not read; simdino brings rows to length 1 itself). ValueError for
    an unknown choice.
    """

    def __init__(
        self,
        target: str = "z_agg",
        alpha: float | str = 1.0,
        normalise: str = "none",
        center: bool = False,
        form: str = "logdet",
    ) -> None:
        super().__init__()
        if target not in TARGETS:
            raise ValueError(f"target is one of {', '.join(TARGETS)}, got {target!r}")
        if form not in FORMS:
            raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r}")
        resolve_alpha(alpha, 1, normalise)  # raises here rather than in the first step
        self.target = target
        self.alpha = alpha
        self.normalise = normalise
        self.center = center
        self.form = form

    def forward(self, z_agg: Tensor, z: Tensor) -> Tensor:
        """z_agg (B, Da), z (B, M, D) -> scalar. The B * M views of z are rows of one matrix."""
        loss = z_agg.new_zeros((), dtype=torch.float32)
        if self.target in ("z_agg", "both"):
            loss = loss - self._rate(z_agg)
        if self.target in ("z", "both"):
            loss = loss - self._rate(z.flatten(0, 1))
        return loss

    def _rate(self, z: Tensor) -> Tensor:
        z = normalise_features(z, self.normalise, self.center)
        if self.form == "logdet":
            return coding_rate(
                z, resolve_alpha(self.alpha, z.shape[1], self.normalise), self.center
            )
        z = z - z.mean(dim=0) if self.center else z
        return mcr2_rate(z) if self.form == "mcr2" else simdino_expansion(z)
