"""Series of a history for the detectors: the primary loss, the context's tap, slopes and settled
values."""

from __future__ import annotations

import math
from statistics import median

import numpy as np

from jepa_lab.diagnosis.finding import History, Points, finite

SETTLED = 3  # number of last validations whose median is the settled value


def primary(history: History) -> Points:
    """Returns the validation loss of the prediction alone, without auxiliary terms."""
    return history.get("val/loss/prediction", ())


def context_tap(history: History) -> str:
    """Returns the tap of the context: z_agg, or z_hat if only z_hat was logged."""
    return next(
        (tap for tap in ("z_agg", "z_hat") if history.get(f"val/{tap}/effective_rank")), "z_agg"
    )


def settled(points: Points) -> float:
    """Returns the median of the last three finite values, NaN without any."""
    values = [v for _, v in finite(points)][-SETTLED:]
    return median(values) if values else math.nan


def least(points: Points) -> float:
    """Returns the least finite value, NaN without any."""
    return min((v for _, v in finite(points)), default=math.nan)


def slope(points: Points) -> float:
    """Returns the least-squares slope over the last half of the points, per 1,000 steps. NaN for
    fewer than three points."""
    half = finite(points)[-max(3, math.ceil(len(points) / 2)) :]
    if len(half) < 3 or half[0][0] == half[-1][0]:
        return math.nan
    steps, values = np.array(half, dtype=float).T
    return float(1000 * np.polyfit(steps - steps.mean(), values, 1)[0])


def last_steps(history: History) -> int:
    """Returns the last logged step, 0 for an empty history."""
    return max((points[-1][0] for points in history.values() if points), default=0)
