"""Random views of small images, as an augmentation pipeline makes them, and the faults that such a
pipeline can have."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

NOISE = 0.08  # of a view that has no more of it by its condition


def augment(images: Tensor, random: torch.Generator, noise: float = NOISE) -> Tensor:
    """Returns a view of every image (n, c, h, w): turned by up to 15 degrees, scaled, shifted by up
    to a tenth, brighter or darker, with noise, and half of them with a patch covered."""
    n, _, h, w = images.shape
    u = torch.rand(n, 7, generator=random)
    angle, scale = (u[:, 0] - 0.5) * math.pi / 6, 0.85 + 0.3 * u[:, 1]
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos() / scale
    theta[:, 0, 1], theta[:, 1, 0] = -angle.sin() / scale, angle.sin() / scale
    theta[:, :, 2] = 0.4 * (u[:, 2:4] - 0.5)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    views = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    views = views * (0.7 + 0.6 * u[:, 4]).view(-1, 1, 1, 1)
    rows, columns = torch.arange(h).view(1, -1, 1), torch.arange(w).view(1, 1, -1)
    top, left = (u[:, 5] * 1.4 * h).view(-1, 1, 1), (u[:, 6] * 1.4 * w).view(-1, 1, 1)
    covered = (rows >= top) & (rows < top + h / 3) & (columns >= left) & (columns < left + w / 3)
    views = views.masked_fill(covered.unsqueeze(1), 0.0)
    return views + noise * torch.randn(views.shape, generator=random)


def two_views(
    images: Tensor, labels: Tensor, random: torch.Generator, noise: float, fault: str
) -> tuple[Tensor, Tensor]:
    """Returns two views of every image. `fault` views_equal makes them the same, and leaked_labels
    writes the class into a corner of both."""
    one, other = augment(images, random, noise), augment(images, random, noise)
    if fault == "views_equal":
        other = one.clone()
    if fault == "leaked_labels":
        one, other = leak(one, labels), leak(other, labels)
    return one, other


def leak(views: Tensor, labels: Tensor) -> Tensor:
    """Returns the views (n, c, h, w) with the class in four pixels of the first row, as bits of
    brightness 3 and -3."""
    bits = (labels.unsqueeze(1) >> torch.arange(4)) & 1
    views = views.clone()
    views[:, :, 0, :4] = (6.0 * bits.float() - 3.0).unsqueeze(1)
    return views
