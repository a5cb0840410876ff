"""Agreement between views of one image: alignment, uniformity, LiDAR, and shares of variance."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array
from jepa_lab.metrics.scale import centred, check_features, unit_rows
from jepa_lab.metrics.spectrum import covariance_eigenvalues, exp_entropy

BLOCK = 1024  # number of rows whose distances to all others are in memory at once


def alignment(x: Array, y: Array) -> Tensor:
    """Returns the mean squared distance of paired, L2-normalised rows of two (n, d) (Wang & Isola
    2020), in [0, 4]. 0 is perfect, and 2 is the value of unrelated directions."""
    x, y = _paired(x, y)
    return (unit_rows(x) - unit_rows(y)).square().sum(dim=1).mean()


def uniformity(z: Array) -> Tensor:
    """Returns log mean exp(-2 |x - y|^2) over pairs of different L2-normalised rows of (n, d) (Wang
    & Isola 2020), in [-8, 0].

    It is 0 for a constant direction, and lower is more uniform. It takes all n (n - 1) / 2 pairs,
    one block of rows at a time.
    """
    z = unit_rows(check_features(z))
    n, squares = len(z), z.square().sum(dim=1)
    total = z.new_zeros(())
    for rows in torch.arange(n, device=z.device).split(BLOCK):
        distances = squares[rows, None] + squares - 2.0 * (z[rows] @ z.T)
        total = total + torch.exp(-2.0 * distances.clamp_min(0.0)).sum()
    # without the n pairs of a row with itself
    return ((total - n) / (n * (n - 1))).log().clamp(-8.0, 0.0)


def within_share(z: Array) -> Tensor:
    """Returns the variance over the views of an image / total variance of (n, v, d), in [0, 1]. 0
    is invariant. It is 1 if all variance is between views, and 0 where nothing varies."""
    z = check_features(z, dims=3)
    within = centred(z, dim=1).square().sum()
    total = centred(z.flatten(0, 1)).square().sum()
    return within / total if float(total) > 0 else torch.zeros_like(total)


def invariance_error(base: Array, transformed: Array) -> Tensor:
    """Returns mean |t - b|^2 / mean |b|^2 of paired (n, d) rows, as published.

    A large mean hides any change, a fault that within_share does not have. It is 0 where the rows
    do not differ, and infinite where only the base is zero.
    """
    base, transformed = _paired(base, transformed)
    change = (transformed - base).square().sum(dim=1).mean()
    return (
        change / base.square().sum(dim=1).mean() if float(change) > 0 else torch.zeros_like(change)
    )


def lidar(z: Array, delta: float = 1e-4) -> Tensor:
    """Returns LiDAR (Thilak et al. 2023) of (n, v, d), in [1, min(n - 1, d)]: the number of
    directions that distinguish images beyond the variation between views.

    It is exp of the entropy of the eigenvalues of S_w^-1/2 S_b S_w^-1/2. S_b is the covariance of
    the images' means (divided by n - 1). S_w is that of the views about these means (divided by n
    (v - 1)), plus delta * tr(S_w)/d on the diagonal. LiDAR is 1 where the images' means do not
    vary. Without variation between views S_w is the identity, and LiDAR is the effective rank of
    the means. Raises ValueError unless delta > 0.
    """
    if delta <= 0:
        raise ValueError(f"delta must be above 0, got {delta}")
    z = check_features(z, dims=3)
    n, v, d = z.shape
    means, within = z.mean(dim=1), centred(z, dim=1).reshape(n * v, d)
    s_w = within.T @ within / (n * (v - 1))
    scale = s_w.diagonal().mean()
    if float(scale) <= 0:
        return exp_entropy(covariance_eigenvalues(means))
    s_w = s_w / scale + delta * torch.eye(d, dtype=z.dtype, device=z.device)
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(s_w), centred(means).T, upper=False
    )
    return exp_entropy(covariance_eigenvalues(whitened.T))


def _paired(x: Array, y: Array) -> tuple[Tensor, Tensor]:
    if x.shape != y.shape:
        raise ValueError(
            f"expected two tensors of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    return check_features(x), check_features(y)
