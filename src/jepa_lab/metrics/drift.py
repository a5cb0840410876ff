"""The distance between a teacher and its student."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor


def drift(student: Array, teacher: Array) -> Tensor:
    """Returns |teacher - student| / |student| of two tensors of one shape, >= 0.

    The tensors may be features or parameters. The result is 0 where they are equal, and infinite
    where only the student is 0. Raises ValueError for unequal shapes.
    """
    return parameter_drift([student], [teacher])


def parameter_drift(student: Sequence[Array], teacher: Sequence[Array]) -> Tensor:
    """Returns the drift of two lists of tensors, each list taken as one vector. Raises ValueError
    for lists whose shapes differ."""
    shapes = [[tuple(x.shape) for x in tensors] for tensors in (student, teacher)]
    if shapes[0] != shapes[1] or not student:
        raise ValueError(f"expected tensors of the same shapes, got {shapes[0]} and {shapes[1]}")
    lengths, gaps = [], []
    for one, other in zip(student, teacher, strict=True):
        a, b = _float64(one), _float64(other)
        lengths.append(a.norm())
        gaps.append(b.sub_(a).norm())
    length, gap = torch.stack(lengths).norm(), torch.stack(gaps).norm()
    if float(gap) == 0:
        return torch.zeros_like(gap)
    return gap / length if float(length) > 0 else torch.full_like(gap, math.inf)


def _float64(x: Array) -> Tensor:
    """Returns a copy in float64, which may be changed in place."""
    x = as_tensor(x).detach()
    return (x.cpu() if x.device.type == "mps" else x).to(torch.float64, copy=True)
