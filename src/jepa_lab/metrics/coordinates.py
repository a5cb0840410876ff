"""The spread of variance over coordinates: dead, exploding and redundant ones, and a large mean.

The functions take (n, d) features, n >= 2, or their Moments. A rank describes directions and
detects none of these problems.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array
from jepa_lab.metrics.scale import check_features
from jepa_lab.metrics.streaming import Moments

# A coordinate is dead if its standard deviation is below this share of the root mean square over
# coordinates.
DEAD = 1e-2
TILE = 2048  # columns whose products are taken at once, 32 MiB


def feature_std_min(z: Array | Moments) -> Tensor:
    """Returns the smallest standard deviation of a dimension, divided by n - 1 as in
    feature_std."""
    moments = _moments(z)
    return (moments.variance.min() * moments.n / (moments.n - 1)).sqrt()


def dead_share(z: Array | Moments) -> Tensor:
    """Returns the share of the dimensions whose standard deviation is below 1e-2 of their root mean
    square, in [0, 1].

    It is 1 where nothing varies, and does not depend on scale. One exploding dimension makes all
    others dead.
    """
    variance = _moments(z).variance
    if float(variance.max()) <= 0:
        return torch.ones_like(variance[0])
    return (variance < DEAD**2 * variance.mean()).to(variance.dtype).mean()


def top_share(z: Array | Moments) -> Tensor:
    """Returns the share of the variance in the largest single dimension, in [1/d, 1].

    It is 1 where nothing varies. The share of the largest direction is explained_variance(z, 1),
    which is at least as large.
    """
    variance = _moments(z).variance
    return (
        variance.max() / variance.sum()
        if float(variance.max()) > 0
        else torch.ones_like(variance[0])
    )


def mean_to_std_ratio(z: Array | Moments) -> Tensor:
    """Returns the length of the mean / root of the total variance (divided by n).

    It compares the common part of all rows with their differences. It is 0 for centred features and
    zeros, and infinite for a constant that is not 0.
    """
    moments = _moments(z)
    length = moments.mean.norm()
    return length / moments.variance.sum().sqrt() if float(length) > 0 else torch.zeros_like(length)


def off_diagonal_correlation(z: Array | Moments) -> Tensor:
    """Returns the mean |correlation| over pairs of different dimensions that vary, in [0, 1]: 1 if
    all dimensions are copies of each other.

    Independent dimensions have about sqrt(2 / (pi n)), not 0. It is 0 where fewer than two
    dimensions vary. Raises ValueError for diagonal moments.
    """
    moments = _moments(z)
    if moments.diagonal:
        raise ValueError("correlations need the full scatter, but these moments are diagonal")
    std = moments.variance.sqrt()
    varies = std > 1e-12 * std.max()
    k = int(varies.sum())
    if k < 2:
        return torch.zeros_like(std[0])
    inverse = torch.where(varies, 1.0 / torch.where(varies, std, 1.0), 0.0)
    rows = moments.deviations
    if rows is not None:  # fewer rows than dimensions
        total = _absolute_products(rows[:, varies] * inverse[varies]) / moments.n
    else:
        absolute = (moments.scatter * inverse).mul_(inverse[:, None]).abs_() / moments.n
        total = absolute.sum() - absolute.diagonal().sum()
    return (total / (k * (k - 1))).clamp(max=1.0)


def _absolute_products(x: Tensor) -> Tensor:
    """Returns the sum of |x_i . x_j| over the pairs of different columns, without the matrix of all
    products, which for wide features exceeds the memory."""
    total = x.new_zeros(())
    for i in range(0, x.shape[1], TILE):
        left = x[:, i : i + TILE].T.contiguous()
        square = (left @ left.T).abs_()
        total += square.sum() - square.diagonal().sum()
        for j in range(i + TILE, x.shape[1], TILE):
            total += 2 * (left @ x[:, j : j + TILE]).abs_().sum()
    return total


def _moments(z: Array | Moments) -> Moments:
    if isinstance(z, Moments):
        if z.n < 2:
            raise ValueError(f"expected moments of n >= 2 rows, got {z.n}")
        return z
    moments = Moments()
    moments.update(check_features(z))
    return moments
