"""Where the toy's theory says something happens, as lines over a map whose cells stand evenly on
log axes.

The loss is a mean over d, so the step that the predictor feels is alpha_eff = alpha (2/d) / (1 -
mu), not alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Theory:
    """What the lines need: d of the latent, the momentum mu of the predictor, the curvature H
    (median Hmax)."""

    d: int
    momentum: float
    curvature: float

    def effective(self, alpha: float) -> float:
        """alpha_eff: the step on the mean-over-d loss, with what momentum adds."""
        return alpha * (2 / self.d) / (1 - self.momentum)

    @property
    def bound(self) -> float:
        """The largest alpha at which the predictor's heavy-ball descent is stable, encoder held: d
        (1 + mu) / H."""
        return self.d * (1 + self.momentum) / self.curvature

    def lines(self, tau: np.ndarray) -> dict[str, np.ndarray]:
        """{label: alpha at each tau}: the predictor as fast as the target, its stiffest mode as
        fast, the bound."""
        as_fast = tau * (1 - self.momentum) * self.d / 2
        return {
            "α_eff = τ": as_fast,
            "α_eff H = τ": as_fast / self.curvature,
            "stability: α = d(1+μ)/H": np.full_like(tau, self.bound),
        }


def positions(grid: Sequence[float], values: np.ndarray) -> np.ndarray:
    """Where `values` lie on an axis whose cells 0, 1, ... stand at `grid` (ascending): linear in
    the logarithm between two cells, continued at the ends; one decade a cell for a grid of one. NaN
    without a positive grid value."""
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
    """{label: (x, y)} of every line in cell coordinates, NaN where it leaves the grid; None where
    all of it does."""
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
