"""Spread of features, absolute and relative to their length. A constant output with a little noise
has a high rank, so rank alone does not reveal it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor


def check_features(z: Array, dims: int = 2) -> Tensor:
    """Returns the features detached, in float64. Raises ValueError unless they are finite and (n,
    d) with n >= 2, or for dims=3 (n, v, d) with n >= 2 and v >= 2."""
    z = as_tensor(z)
    shape = "(n, d), n >= 2" if dims == 2 else "(n, v, d), n >= 2, v >= 2"
    if z.ndim != dims or z.shape[0] < 2 or (dims == 3 and z.shape[1] < 2) or z.shape[-1] < 1:
        raise ValueError(f"expected features {shape}, got {tuple(z.shape)}")
    return check_finite(z)


def check_finite(z: Array) -> Tensor:
    """Returns the tensor detached, in float64, on the CPU if its device has no float64. Raises
    ValueError for values that are not finite."""
    z = as_tensor(z).detach()
    z = (z.cpu() if z.device.type == "mps" else z).double()  # MPS devices have no float64
    # testing the sum first costs a fifth of testing every value
    if not bool(torch.isfinite(z.sum())) and not bool(torch.isfinite(z).all()):
        raise ValueError(f"features {tuple(z.shape)} are not finite")
    return z


def centred(z: Tensor, dim: int = 0) -> Tensor:
    """Returns z minus its mean over `dim`. The first entry is subtracted before the mean is taken,
    so that a constant becomes exactly 0 rather than a rounding error."""
    z = z - z.narrow(dim, 0, 1)
    return z.sub_(z.mean(dim=dim, keepdim=True))


def unit_rows(z: Tensor) -> Tensor:
    """Returns float64 vectors scaled to length 1 along the last dimension. It is accurate for
    lengths down to 1e-150. A zero vector stays zero."""
    return F.normalize(z, dim=-1, eps=1e-150)


def feature_std(z: Array) -> Tensor:
    """Returns the mean over dimensions of the standard deviation (divided by n - 1) of (n, d)
    features."""
    z = check_features(z)
    return centred(z).norm(dim=0).mean() / (len(z) - 1) ** 0.5


def feature_std_l2(z: Array) -> Tensor:
    """Returns feature_std of L2-normalised rows, times sqrt(d). It is near 1 for features spread
    evenly over the sphere, and 0 for a constant direction. A zero row stays zero."""
    z = unit_rows(check_features(z))
    return feature_std(z) * z.shape[1] ** 0.5


def mean_norm(z: Array) -> Tensor:
    """Returns the mean length of the rows of (n, d) features."""
    return check_features(z).norm(dim=1).mean()


def mean_pairwise_cosine(z: Array) -> Tensor:
    """Returns the mean cosine over all pairs of different rows of (n, d), in [-1/(n-1), 1].

    It is 1 if all rows have one direction, and 0 for isotropic features. A zero row has cosine 0
    with every other. It is computed from |sum of unit rows|^2, without the (n, n) matrix.
    """
    z = unit_rows(check_features(z))
    n = len(z)
    return (z.sum(dim=0).square().sum() - z.square().sum()) / (n * (n - 1))
