"""One factor of the views at a time, on a grid that contains the identity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FactorSweep:
    """values (s,) of the factor in `unit`, rising; params (s, P) that give them; `reference` the
    identity's place.

    `k`: the dimensions that the factor's change should take. `angles` (s,) in radians for a factor
    that is an angle.
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
    """The sweep of one parameter (column `columns`), the identity's value `zero` put among the
    values. In degrees and with k = 2 the factor is an angle."""
    values = torch.cat([values.double(), torch.tensor([zero], dtype=torch.float64)])
    values = torch.unique((values * 1e9).round() / 1e9)  # sorted
    reference = int((values - zero).abs().argmin())
    params = torch.tensor(identity, dtype=torch.float32).repeat(len(values), 1)
    params[:, columns] = values.float()
    angles = values * (math.pi / 180.0) if unit == "degrees" and k == 2 else None
    return FactorSweep(factor, unit, values, params, reference, k, angles)


def angle_grid(low: float, high: float, steps: int = 36) -> Tensor:
    """`steps` angles of a full turn, its end left out since it is its beginning; or of a part, ends
    included."""
    if high - low >= 360:
        return low + (high - low) * torch.arange(steps, dtype=torch.float64) / steps
    return torch.linspace(low, high, steps + 1, dtype=torch.float64)
