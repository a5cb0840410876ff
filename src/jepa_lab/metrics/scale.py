"""How far features spread, absolutely and relative to their length. A rank alone calls a constant
output healthy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def check_features(z: Tensor, dims: int = 2) -> Tensor:
    """The features as detached float64; ValueError unless (n, d) with n >= 2 (or (n, v, d) with v
    >= 2) and finite."""
    shape = "(n, d), n >= 2" if dims == 2 else "(n, v, d), n >= 2, v >= 2"
    if z.ndim != dims or z.shape[0] < 2 or (dims == 3 and z.shape[1] < 2) or z.shape[-1] < 1:
        raise ValueError(f"expected features {shape}, got {tuple(z.shape)}")
    return check_finite(z)


def check_finite(z: Tensor) -> Tensor:
    """Detached float64, on the CPU where the device has none. ValueError for values that are not
    finite."""
    z = z.detach()
    z = (z.cpu() if z.device.type == "mps" else z).double()  # that device has no float64
    # a sum is a fifth of the work
    if not bool(torch.isfinite(z.sum())) and not bool(torch.isfinite(z).all()):
        raise ValueError(f"features {tuple(z.shape)} are not finite")
    return z


def centred(z: Tensor, dim: int = 0) -> Tensor:
    """z minus its mean over `dim`. The first entry is subtracted before, so that a constant comes
    out as exact zeros and not as the rounding of its mean."""
    z = z - z.narrow(dim, 0, 1)
    return z.sub_(z.mean(dim=dim, keepdim=True))


def unit_rows(z: Tensor) -> Tensor:
    """Float64 vectors along the last dimension at length 1, at any scale down to 1e-150; a zero
    vector stays zero."""
    return F.normalize(z, dim=-1, eps=1e-150)


def feature_std(z: Tensor) -> Tensor:
    """Mean over dimensions of the per-dimension standard deviation (divided by n - 1) of (n, d)
    features."""
    z = check_features(z)
    return centred(z).norm(dim=0).mean() / (len(z) - 1) ** 0.5


def feature_std_l2(z: Tensor) -> Tensor:
    """The same after L2-normalising rows, times sqrt(d): near 1 for features spread evenly over the
    sphere, 0 for a constant direction. A zero row stays zero."""
    z = unit_rows(check_features(z))
    return feature_std(z) * z.shape[1] ** 0.5


def mean_norm(z: Tensor) -> Tensor:
    """Mean length of the rows of (n, d) features."""
    return check_features(z).norm(dim=1).mean()


def mean_pairwise_cosine(z: Tensor) -> Tensor:
    """Mean cosine over all pairs of different rows of (n, d), in [-1/(n-1), 1]: 1 for one
    direction, 0 for isotropic.

    A zero row has cosine 0 with every other. From |sum of unit rows|^2, without the (n, n) matrix.
    """
    z = unit_rows(check_features(z))
    n = len(z)
    return (z.sum(dim=0).square().sum() - z.square().sum()) / (n * (n - 1))
