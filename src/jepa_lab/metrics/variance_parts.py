"""The parts of the variance of features of several views, tokens or frames of each image: between
images, between places, and the rest.

The rows come as x (N, d) with the index of the image and of the place (the number of the view,
token or frame) of each row, both (N,) int64. Rows may be missing. `indexed` makes this form of (n,
v, d).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from jepa_lab.metrics.scale import centred, check_features, check_finite, unit_rows


class Parts(NamedTuple):
    """Shares of the variance, which sum to 1: `image` of the images' means, `place` of the places'
    means, and `rest`. All are 0 where nothing varies."""

    image: float
    place: float
    rest: float


def indexed(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (rows (n v, d), image (n v,), place (n v,)) of features (n, v, d)."""
    n, v = z.shape[:2]
    image = torch.arange(n, device=z.device).repeat_interleave(v)
    return z.flatten(0, 1), image, torch.arange(v, device=z.device).repeat(n)


def without_place(x: Tensor, place: Tensor) -> Tensor:
    """Returns every row minus the mean of its place, (N, d) float64. What is left is 0 if all
    images have the same rows."""
    x = centred(check_features(x))
    return x - _means(x, place)[0][place]


def between_share(x: Tensor, group: Tensor) -> float:
    """Returns the share of the variance of rows (N, d) that lies between the means of the groups
    with the index `group` (N,) int64, in [0, 1]. It is 0 where nothing varies."""
    x = centred(check_features(x))
    total = float(x.square().sum())
    means, counts = _means(x, group)
    return float((counts * means.square().sum(dim=1)).sum()) / total if total > 0 else 0.0


def variance_parts(x: Tensor, image: Tensor, place: Tensor) -> Parts:
    """Returns the shares of image, place and rest.

    With n images and v places and nothing in common, the share of the images is 1 / v and that of
    the places 1 / n, by chance. The image's part is that of the deviations from the place. With all
    rows present the parts are those of a two-way analysis of variance.
    """
    x = centred(check_features(x))
    total = float(x.square().sum())
    if total <= 0:
        return Parts(0.0, 0.0, 0.0)
    left = without_place(x, place)
    means, counts = _means(left, image)
    of_image = float((counts * means.square().sum(dim=1)).sum()) / total
    of_place = max(1.0 - float(left.square().sum()) / total, 0.0)
    return Parts(of_image, of_place, max(1.0 - of_image - of_place, 0.0))


def view_correlation(x: Tensor, image: Tensor, place: Tensor) -> float:
    """Returns the share of the variance about the places that the rows of one image have in common
    (the intraclass correlation), in [-1/(v - 1), 1].

    It is 1 if the views of every image are equal up to their place, and about 0 if the views of an
    image are as different as those of two images, whatever their number. It is 0 where nothing
    varies. Raises ValueError unless some image has two rows.
    """
    left = without_place(x, place)
    means, counts = _means(left, image)
    present = counts > 0
    n, rows, places = int(present.sum()), len(left), len(torch.unique(place))
    freedom = rows - n - places + 1
    if n < 2 or freedom < 1:
        raise ValueError(f"expected at least 2 images of 2 rows, got {rows} rows of {n} images")
    between = float((counts * means.square().sum(dim=1)).sum())
    within = max(float(left.square().sum()) - between, 0.0) / freedom
    between /= n - 1
    size = (rows - float(counts.square().sum()) / rows) / (n - 1)  # rows of an image, on average
    total = between + (size - 1.0) * within
    return (between - within) / total if total > 0 else 0.0


def place_cosine(x: Tensor, place: Tensor) -> float:
    """Returns the mean cosine of two rows at the same place of different images, in [-1, 1]. It is
    1 if all images have the same rows, however different the places are."""
    unit = unit_rows(check_finite(x))
    means, counts = _means(unit, place)
    lengths = _sums(unit.square().sum(dim=1, keepdim=True), place)[:, 0]
    pairs = counts * (counts - 1.0)
    if float(pairs.sum()) <= 0:
        raise ValueError("expected two images at some place")
    return float((counts.square() * means.square().sum(dim=1) - lengths).sum() / pairs.sum())


def place_spread(x: Tensor, place: Tensor) -> float:
    """Returns feature_std_l2 over the images at each place, as the mean over rows: near 1 if the
    images are spread evenly at every place, 0 if all images have the same rows."""
    unit = unit_rows(check_finite(x))
    left = unit - _means(unit, place)[0][place]
    counts = torch.bincount(place).double()
    variance = _sums(left.square(), place) / (counts - 1.0).clamp_min(1.0)[:, None]
    spread = variance.sqrt().mean(dim=1) * x.shape[1] ** 0.5
    return float((counts * spread).sum() / counts.sum())


def _sums(x: Tensor, index: Tensor) -> Tensor:
    size = int(index.max()) + 1
    return x.new_zeros(size, x.shape[1]).index_add_(0, index, x)


def _means(x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the mean (K, d) and the number (K,) of the rows of each index. The mean of no row is
    0."""
    counts = torch.bincount(index).to(x.dtype)
    return _sums(x, index) / counts.clamp_min(1.0)[:, None], counts
