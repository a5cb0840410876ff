"""How variance is spread over coordinates: dead ones, an exploding one, ones that repeat each
other, a large mean.

Of (n, d) features, n >= 2, or of their Moments; a rank looks at directions and sees none of these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.scale import check_features
from jepa_lab.metrics.streaming import Moments

# of the root mean square over coordinates: a standard deviation below is a dead coordinate
DEAD = 1e-2


def feature_std_min(z: Tensor | Moments) -> Tensor:
    """The smallest per-dimension standard deviation (divided by n - 1, as feature_std)."""
    moments = _moments(z)
    return (moments.variance.min() * moments.n / (moments.n - 1)).sqrt()


def dead_share(z: Tensor | Moments) -> Tensor:
    """Share of the dimensions whose standard deviation is below 1e-2 of their root mean square, in
    [0, 1].

    1 where nothing varies; no scale enters. One exploding dimension makes the others dead, beside
    it they are.
    """
    variance = _moments(z).variance
    if float(variance.max()) <= 0:
        return torch.ones_like(variance[0])
    return (variance < DEAD**2 * variance.mean()).to(variance.dtype).mean()


def top_share(z: Tensor | Moments) -> Tensor:
    """Share of the variance that the largest single dimension holds, in [1/d, 1]; 1 where nothing
    varies.

    The share of the largest direction, whichever way it points, is explained_variance(z, 1) and at
    least as large.
    """
    variance = _moments(z).variance
    return (
        variance.max() / variance.sum()
        if float(variance.max()) > 0
        else torch.ones_like(variance[0])
    )


def mean_to_std_ratio(z: Tensor | Moments) -> Tensor:
    """Length of the mean / root of the total variance (divided by n): how large what all rows share
    is beside what differs. 0 for centred features and zeros, infinite for a constant that is not 0.
    """
    moments = _moments(z)
    length = moments.mean.norm()
    return length / moments.variance.sum().sqrt() if float(length) > 0 else torch.zeros_like(length)


def off_diagonal_correlation(z: Tensor | Moments) -> Tensor:
    """Mean |correlation| over pairs of different dimensions that vary, in [0, 1]: 1 if each repeats
    every other.

    Independent dimensions have about sqrt(2 / (pi n)), not 0. 0 where fewer than two dimensions
    vary. ValueError for moments of which only the diagonal is known.
    """
    moments = _moments(z)
    if moments.diagonal:
        raise ValueError("correlations need the full scatter, these moments have its diagonal only")
    scatter = moments.scatter
    std = scatter.diagonal().clamp_min(0.0).sqrt()
    varies = std > 1e-12 * std.max()
    k = int(varies.sum())
    if k < 2:
        return torch.zeros_like(std[0])
    inverse = torch.where(varies, 1.0 / torch.where(varies, std, 1.0), 0.0)
    absolute = (scatter * inverse).mul_(inverse[:, None]).abs_()
    return ((absolute.sum() - absolute.diagonal().sum()) / (k * (k - 1))).clamp(max=1.0)


def _moments(z: Tensor | Moments) -> Moments:
    if isinstance(z, Moments):
        if z.n < 2:
            raise ValueError(f"expected moments of n >= 2 rows, got {z.n}")
        return z
    moments = Moments()
    moments.update(check_features(z))
    return moments
