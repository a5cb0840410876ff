"""The coding rate R(Z) = logdet(I + alpha Z'Z / n), in nats, and the regulariser -R.

Sources: Ma et al. 2007; Yu et al. 2020 (MCR2, arXiv:2006.08558), whose R is half of this. Without
normalisation R grows without bound with the scale of Z, so a model can raise the rate by scale
alone. `normalise_features` fixes the scale first.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.devices import reads_are_free
from jepa_lab.losses.rows import at_least_float32

NORMALISE = ("none", "rows", "trace")


def coding_rate(z: Tensor, alpha: float = 1.0, center: bool = False) -> Tensor:
    """Returns R of features (n, d) in nats, >= 0, differentiable; float64 for float64 features,
    else float32.

    It takes the Cholesky factor of the smaller of I + alpha Z'Z/n (d, d) and I + alpha ZZ'/n
    (n, n), which have the same determinant. If rounding makes this fail, it is repeated in float64.
    An accelerator, which would have to be asked, uses float64 at once. `center` subtracts the batch
    mean. Computed outside autocast. It is NaN for features that are not finite, so that a diverged
    run shows. Raises ValueError for another rank, n = 0 or alpha <= 0.
    """
    if z.ndim != 2 or len(z) < 1:
        raise ValueError(f"expected (n, d) features, n >= 1, got {tuple(z.shape)}")
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha must be finite and above 0, got {alpha}")
    with torch.autocast(z.device.type, enabled=False):
        z = z if z.dtype == torch.float64 else z.float()
        if center:
            z = z - z.mean(dim=0)
        if z.dtype == torch.float64 or z.device.type == "mps":  # that device has no float64
            return _log_determinant(z, alpha)[0]
        if reads_are_free(z):
            rate, failed = _log_determinant(z, alpha)
            if not bool(failed):
                return rate
        return _log_determinant(z.double(), alpha)[0].to(z.dtype)


def _log_determinant(z: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Returns logdet(I + alpha Z'Z/n) and whether its factorisation failed.

    After a failure the value is NaN, never computed from a part of the diagonal.
    """
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
    """Returns features (n, d) at a fixed scale: mean squared norm d, as for independent
    unit-variance features.

    - how="none" leaves them as they are.
    - how="rows" scales every row to norm sqrt(d).
    - how="trace" scales the whole matrix by one number so that trace(Z'Z/n) = d. With `center` the
      mean is subtracted first. Variation below 1e-6 of the features' own length is rounding, and is
      not scaled up.

    A zero row or matrix stays zero. The result is float64 for float64 features, else float32.
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
    """Returns alpha as a number. "auto" is MCR2's d / eps^2, which is meant for rows of norm 1.

    For how="rows" and "trace" the features already have mean squared norm d, so "auto" is
    1 / eps^2: R is the same as with d / eps^2 and rows of norm 1. For how="none", "auto" is
    d / eps^2 for the features as they are. This is right if the network itself gives them norm 1. A
    number is used as it is: alpha = 1 is the natural scale of normalised features. Raises
    ValueError for anything else.
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
    """Returns 1/2 logdet(I + d / (n eps) Z'Z) of features (n, d) as they are.

    It is a differentiable scalar >= 0 in float32 or better. Raises ValueError for another rank or
    eps <= 0.
    """
    return 0.5 * coding_rate(z, alpha=_alpha(z, eps))


def simdino_expansion(z: Tensor, eps: float = 0.5) -> Tensor:
    """Returns (d + n) / (d n) times mcr2_rate of features (n, d) with rows scaled to norm 1.

    Raises ValueError for another rank or eps <= 0.
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
    """The coding-rate regulariser -R without its weight.

    `target` selects the features: z_agg, all observed z, or both (the sum of the two). `alpha` and
    `normalise` are explained in resolve_alpha and normalise_features. `center` subtracts the mean
    over the batch. `form` logdet is R; mcr2 and simdino are the forms of the released codes, with
    eps .5. They ignore `alpha`, and simdino scales rows to norm 1 itself. Raises ValueError for an
    unknown choice.
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
        resolve_alpha(alpha, 1, normalise)  # raises now rather than in the first step
        self.target = target
        self.alpha = alpha
        self.normalise = normalise
        self.center = center
        self.form = form

    def forward(self, z_agg: Tensor, z: Tensor) -> Tensor:
        """Maps z_agg (B, Da) and z (B, M, D) to a scalar. The B * M views of z are the rows of one
        matrix."""
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
