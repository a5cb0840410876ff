"""What the detectors read from a history: the primary loss, the context's tap, slopes and settled
values."""

from __future__ import annotations

import math
from statistics import median

import numpy as np

from jepa_lab.diagnosis.finding import History, Points, finite

SETTLED = 3  # validations whose median is the value at the end


def primary(history: History) -> Points:
    """The validation loss of the prediction alone, unweighted by any auxiliary term."""
    return history.get("val/loss/prediction", ())


def context_tap(history: History) -> str:
    """The tap that stands for the context: the aggregate, or its projection where that is all there
    is."""
    return next(
        (tap for tap in ("z_agg", "z_hat") if history.get(f"val/{tap}/effective_rank")), "z_agg"
    )


def settled(points: Points) -> float:
    """The median of the last three finite values; NaN without any."""
    values = [v for _, v in finite(points)][-SETTLED:]
    return median(values) if values else math.nan


def least(points: Points) -> float:
    """The least finite value; NaN without any."""
    return min((v for _, v in finite(points)), default=math.nan)


def slope(points: Points) -> float:
    """Least-squares slope over the last half of the points, per 1,000 steps; NaN for fewer than
    three points."""
    half = finite(points)[-max(3, math.ceil(len(points) / 2)) :]
    if len(half) < 3 or half[0][0] == half[-1][0]:
        return math.nan
    steps, values = np.array(half, dtype=float).T
    return float(1000 * np.polyfit(steps - steps.mean(), values, 1)[0])


def last_steps(history: History) -> int:
    """The last step that was logged; 0 for an empty history."""
    return max((points[-1][0] for points in history.values() if points), default=0)
