"""SIGReg (LeJEPA, Balestriero and LeCun 2025, arXiv:2511.08544): regularises random one-dimensional
projections of the features towards N(0, 1).

The distance is the statistic of Epps and Pulley (1983) on their empirical characteristic function.
These are pure functions of one set of rows. With several ranks, rows are gathered first; the
directions are the same on all ranks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.devices import sent
from jepa_lab.losses.rows import at_least_float32


def epps_pulley(x: Tensor, t_max: float = 3.0, n_points: int = 17) -> Tensor:
    """Maps (n, k) to (k,), >= 0: n times the integral over [-t_max, t_max] of |phi(t) -
    e^(-t^2/2)|^2 e^(-t^2/2), where phi is the empirical characteristic function of a column.

    The integral uses the trapezoid rule on n_points knots of [0, t_max], as the integrand is
    symmetric. On average N(0, 1) gives 1.05 for any n, zeros give .402 n, and N(0, 4) gives .24 n.
    Computed in float32 or better, outside autocast. It is NaN for features that are not finite.
    Raises ValueError for another rank, n = 0, t_max <= 0, and n_points that is even (the upstream
    code rejects this too) or below 3.
    """
    if x.ndim != 2 or not len(x):
        raise ValueError(f"expected (n, k), n >= 1, got {tuple(x.shape)}")
    with torch.autocast(x.device.type, enabled=False):
        x = at_least_float32(x)
        t, weights = _knots(0.0, t_max, n_points, x)
        return len(x) * _distance(x, t) @ (2.0 * weights)


def sigreg(
    z: Tensor, step: int = 0, n_slices: int = 256, t_max: float = 3.0, n_points: int = 17
) -> Tensor:
    """Maps features (n, d), without normalisation, to a scalar >= 0: the mean of `epps_pulley` over
    n_slices random directions.

    The directions depend on `step`, d and n_slices alone, so that all ranks and both branches of a
    step share them. A value near 1.05 cannot be distinguished from N(0, I). Collapse to zero costs
    .402 n. Normalised rows cannot reach 1.05, since their projections have a standard deviation of
    1 / sqrt(d). Raises ValueError as `epps_pulley` does, and for n_slices < 1.
    """
    _check(z, n_slices)
    with torch.autocast(z.device.type, enabled=False):
        z = at_least_float32(z)
        slices = z @ sent(directions(z.shape[1], n_slices, step), z)
        return epps_pulley(slices, t_max, n_points).mean()


def sigreg_published(
    z: Tensor, step: int = 0, n_slices: int = 128, t_max: float = 3.0, n_points: int = 17
) -> Tensor:
    """Maps (n, d) to a scalar by the formula of the public ARC code, on normalised rows and without
    the factor n. It is kept to reproduce the numbers of that code.

    Its target N(0, 1) is the projection of rows of length about sqrt(d), but all rows have length
    1. For d = 256 the value lies between .394 and .406 for any features, so it hardly distinguishes
    features spread over the sphere from a single point. Raises ValueError as `sigreg` does.
    """
    _check(z, n_slices)
    with torch.autocast(z.device.type, enabled=False):
        z = F.normalize(at_least_float32(z), dim=1)
        t, weights = _knots(-t_max, t_max, n_points, z)
        slices = z @ sent(directions(z.shape[1], n_slices, step), z)
        return (_distance(slices, t) @ weights).mean()


def directions(d: int, n_slices: int, step: int) -> Tensor:
    """Returns (d, n_slices) float32 on the CPU: unit columns, uniform on the sphere, determined by
    `step`."""
    generator = torch.Generator().manual_seed(step)
    return F.normalize(torch.randn(d, n_slices, generator=generator), dim=0)


def _distance(x: Tensor, t: Tensor) -> Tensor:
    """Maps x (n, k) and t (T,) to (k, T): |phi(t) - e^(-t^2/2)|^2, computed from the real and the
    imaginary part."""
    phase = x.unsqueeze(-1) * t
    real = phase.cos().mean(dim=0) - torch.exp(-0.5 * t.square())
    return real.square() + phase.sin().mean(dim=0).square()


def _knots(start: float, stop: float, n_points: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (T,) knots and their weights: those of the trapezoid rule times the window
    e^(-t^2/2)."""
    if stop <= 0 or n_points < 3 or n_points % 2 == 0:
        raise ValueError(
            f"t_max must be above 0 and n_points odd and at least 3, got {stop} and {n_points}"
        )
    t = torch.linspace(start, stop, n_points, dtype=like.dtype, device=like.device)
    weights = torch.full_like(t, (stop - start) / (n_points - 1))
    for end in (0, -1):
        weights[end] /= 2.0
    return t, weights * torch.exp(-0.5 * t.square())


def _check(z: Tensor, n_slices: int) -> None:
    if z.ndim != 2 or not len(z):
        raise ValueError(f"expected (n, d) features, n >= 1, got {tuple(z.shape)}")
    if n_slices < 1:
        raise ValueError(f"n_slices must be at least 1, got {n_slices}")
