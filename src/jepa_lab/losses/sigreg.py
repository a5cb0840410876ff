"""SIGReg (LeJEPA, Balestriero and LeCun 2025, arXiv:2511.08544): random one-dimensional views of
the features are drawn to N(0, 1), by the statistic of Epps and Pulley (1983) on their empirical
characteristic function.

These are pure functions of one set of rows: with several ranks, gather rows before; the directions
are the same on all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses.rows import at_least_float32


def epps_pulley(x: Tensor, t_max: float = 3.0, n_points: int = 17) -> Tensor:
    """(n, k) -> (k,), >= 0: n times the integral over [-t_max, t_max] of |phi(t) - e^(-t^2/2)|^2
    e^(-t^2/2), phi the empirical characteristic function of a column.

    By the trapezoid rule on n_points knots of [0, t_max], as both sides are alike. Of N(0, 1) it is
    1.05 on average for any n, of zeros .402 n, of N(0, 4) .24 n. Float32 or better, outside
    autocast. NaN for features that are not finite. ValueError for another rank, n = 0, t_max <= 0
    and n_points that are even (as upstream) or below 3.
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
    """Features (n, d), as they come -> scalar, >= 0: the mean of `epps_pulley` over n_slices random
    directions.

    The directions depend on `step`, d and n_slices alone, so that all ranks and both branches of a
    step share them. Near 1.05: it cannot be told from N(0, I); collapse to zero costs .402 n.
    Normalised rows cannot get there: their slices have a standard deviation of 1 / sqrt(d).
    ValueError as for `epps_pulley`, and for n_slices < 1.
    """
    _check(z, n_slices)
    with torch.autocast(z.device.type, enabled=False):
        z = at_least_float32(z)
        return epps_pulley(z @ directions(z.shape[1], n_slices, step).to(z), t_max, n_points).mean()


def sigreg_published(
    z: Tensor, step: int = 0, n_slices: int = 128, t_max: float = 3.0, n_points: int = 17
) -> Tensor:
    """The form of the public ARC code, kept to reproduce its numbers: on normalised rows, without
    the factor n.

    (n, d) -> scalar. Whatever the features, for d = 256 it lies between .394 and .406, for the
    variance it asks for is that of rows sqrt(d) times as long: it hardly tells a sphere from a
    point. Errors as for `sigreg`.
    """
    _check(z, n_slices)
    with torch.autocast(z.device.type, enabled=False):
        z = F.normalize(at_least_float32(z), dim=1)
        t, weights = _knots(-t_max, t_max, n_points, z)
        return (_distance(z @ directions(z.shape[1], n_slices, step).to(z), t) @ weights).mean()


def directions(d: int, n_slices: int, step: int) -> Tensor:
    """(d, n_slices) float32 on the CPU: unit columns, uniform on the sphere, the same wherever the
    step is the same."""
    generator = torch.Generator().manual_seed(step)
    return F.normalize(torch.randn(d, n_slices, generator=generator), dim=0)


def _distance(x: Tensor, t: Tensor) -> Tensor:
    """(n, k), (T,) -> (k, T): |phi(t) - e^(-t^2/2)|^2, real and imaginary part."""
    phase = x.unsqueeze(-1) * t
    real = phase.cos().mean(dim=0) - torch.exp(-0.5 * t.square())
    return real.square() + phase.sin().mean(dim=0).square()


def _knots(start: float, stop: float, n_points: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """(T,) knots, and their weights of the trapezoid rule times the window e^(-t^2/2)."""
    if stop <= 0 or n_points < 3 or n_points % 2 == 0:
        raise ValueError(
            f"t_max must be above 0 and n_points odd and at least 3, got {stop} and {n_points}"
        )
    t = torch.linspace(start, stop, n_points, dtype=like.dtype, device=like.device)
    weights = torch.full_like(t, (stop - start) / (n_points - 1))
    weights[[0, -1]] /= 2.0
    return t, weights * torch.exp(-0.5 * t.square())


def _check(z: Tensor, n_slices: int) -> None:
    if z.ndim != 2 or not len(z):
        raise ValueError(f"expected (n, d) features, n >= 1, got {tuple(z.shape)}")
    if n_slices < 1:
        raise ValueError(f"n_slices must be at least 1, got {n_slices}")
