"""Factor sweeps: one factor of the views at a time, on a grid that contains the identity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FactorSweep:
    """A grid over one factor of the views.

    - values: (s,) values of the factor in `unit`, ascending. params: (s, P) for these values.
    - reference: index of the identity.
    - k: the number of dimensions that a change of the factor should take.
    - angles: (s,) in radians if the factor is an angle, else None.
    """

    factor: str
    unit: str
    values: Tensor
    params: Tensor
    reference: int
    k: int
    angles: Tensor | None = None


def make_sweep(
    factor: str,
    unit: str,
    values: Tensor,
    identity: tuple[float, ...],
    columns: int,
    k: int,
    *,
    zero: float = 0.0,
) -> FactorSweep:
    """Returns the sweep of one parameter (column `columns`). The identity's value `zero` is added
    to the values. With unit "degrees" and k = 2 the factor is an angle."""
    values = torch.cat([values.double(), torch.tensor([zero], dtype=torch.float64)])
    values = torch.unique((values * 1e9).round() / 1e9)  # sorted
    reference = int((values - zero).abs().argmin())
    params = torch.tensor(identity, dtype=torch.float32).repeat(len(values), 1)
    params[:, columns] = values.float()
    angles = values * (math.pi / 180.0) if unit == "degrees" and k == 2 else None
    return FactorSweep(factor, unit, values, params, reference, k, angles)


def angle_grid(low: float, high: float, steps: int = 36) -> Tensor:
    """Returns `steps` angles of a full turn without its end, which equals its start. For a smaller
    range it returns steps + 1 angles, ends included."""
    if high - low >= 360:
        return low + (high - low) * torch.arange(steps, dtype=torch.float64) / steps
    return torch.linspace(low, high, steps + 1, dtype=torch.float64)
