"""The predictions of the toy's theory, as lines over a map whose cells are evenly spaced on log
axes.

The loss is a mean over d. The effective step of the predictor is therefore alpha_eff = alpha (2/d)
/ (1 - mu), not alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Theory:
    """The inputs of the lines: the latent dimension d, the predictor's momentum mu, and the
    curvature H (median Hmax)."""

    d: int
    momentum: float
    curvature: float

    def effective(self, alpha: float) -> float:
        """Returns alpha_eff: the step on the mean-over-d loss, including the effect of momentum."""
        return alpha * (2 / self.d) / (1 - self.momentum)

    @property
    def bound(self) -> float:
        """The largest alpha at which the predictor's heavy-ball descent is stable with a fixed
        encoder: d (1 + mu) / H."""
        return self.d * (1 + self.momentum) / self.curvature

    def lines(self, tau: np.ndarray) -> dict[str, np.ndarray]:
        """Returns {label: alpha at each tau} for three lines: the predictor is as fast as the
        target, its stiffest mode is as fast as the target, and the stability bound."""
        as_fast = tau * (1 - self.momentum) * self.d / 2
        return {
            "α_eff = τ": as_fast,
            "α_eff H = τ": as_fast / self.curvature,
            "stability: α = d(1+μ)/H": np.full_like(tau, self.bound),
        }


def positions(grid: Sequence[float], values: np.ndarray) -> np.ndarray:
    """Returns the positions of `values` on an axis whose cells 0, 1, ... have the values `grid`
    (ascending).

    Positions are linear in the logarithm between two cells and extrapolated at the ends. On a grid
    of one cell, a cell is one decade wide. NaN without a positive grid value.
    """
    at = np.array([i for i, value in enumerate(grid) if value > 0], dtype=np.float64)
    if not at.size:
        return np.full(len(values), np.nan)
    logs = np.log10([value for value in grid if value > 0])
    wanted = np.log10(np.maximum(values, 1e-300))
    if len(logs) == 1:
        return at[0] + wanted - logs[0]
    right = np.clip(np.searchsorted(logs, wanted), 1, len(logs) - 1)
    slope = (at[right] - at[right - 1]) / (logs[right] - logs[right - 1])
    return at[right - 1] + (wanted - logs[right - 1]) * slope


def paths(
    theory: Theory, taus: Sequence[float], alphas: Sequence[float]
) -> dict[str, tuple[np.ndarray, np.ndarray] | None]:
    """Returns {label: (x, y)} of every line in cell coordinates. y is NaN where the line leaves the
    grid. The entry is None if the whole line lies outside."""
    positive = [tau for tau in taus if tau > 0]
    if not positive or not math.isfinite(theory.curvature) or theory.curvature <= 0:
        return {}
    span = (positive[1] / positive[0]) if len(positive) > 1 else 10.0
    last = (positive[-1] / positive[-2]) if len(positive) > 1 else 10.0
    tau = np.geomspace(positive[0] / math.sqrt(span), positive[-1] * math.sqrt(last), 401)
    x = positions(taus, tau)
    found: dict[str, tuple[np.ndarray, np.ndarray] | None] = {}
    for label, alpha in theory.lines(tau).items():
        y = positions(alphas, alpha)
        inside = (y > -0.5) & (y < len(alphas) - 0.5)
        found[label] = (x, np.where(inside, y, np.nan)) if inside.any() else None
    return found
