"""The drift of a toy's run from its start: what can be read out of the code, and the distance of
the predictor from its optimum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from jepa_lab.diagnosis.finding import Points, last_stretch, last_third
from jepa_lab.diagnosis.thresholds import Thresholds, distance

Columns = Mapping[str, Any]  # lists of length n
Found = tuple[int | None, str, float]  # the first step, the reason, the distance to the limit


def column(columns: Columns, steps: Sequence[int], name: str) -> list[tuple[int, float]]:
    """Returns the (step, value) of a column that are finite, [] for a missing column."""
    values = columns.get(name, ())
    return [
        (s, float(v))
        for s, v in zip(steps, values, strict=False)
        if v is not None and math.isfinite(v)
    ]


def lost(columns: Columns, steps: Sequence[int], t: Thresholds) -> Found | None:
    """Reports latents that are read out less well than from the initial weights.

    This detects a code that carries noise instead of the latents while its variance and rank are
    kept. The total variance is that of the largest latents. The mean over the latents shows small
    ones that were lost. It counts unless the total rose: a code that is learned may give up small
    latents for large ones.
    """
    total = column(columns, steps, "readout_r2")
    mean = column(columns, steps, "readout_r2_mean")
    rose = bool(total) and total[-1][1] > total[0][1] + t.toy_readout_fall
    for points, of in ((total, ""), ([] if rose else mean, ", mean over the latents,")):
        if not points or points[0][1] - points[-1][1] <= t.toy_readout_fall:
            continue
        first, last = points[0][1], points[-1][1]
        reason = f"the read-out of the latents{of} fell to {last:.2f} from {first:.2f}"
        return (
            _since(points, first - t.toy_readout_fall),
            reason,
            distance(first - last, t.toy_readout_fall),
        )
    return None


def how_lost(columns: Columns, steps: Sequence[int]) -> str:
    """Returns the status of a run that lost latents: a collapse if the rank fell too."""
    rank = column(columns, steps, "erank_encoded")
    return "dimensional_collapse" if rank and rank[-1][1] < rank[0][1] else "no_learning"


def drifted(columns: Columns, steps: Sequence[int], t: Thresholds) -> Found | None:
    """Reports a predictor that drifted away from its optimum in a run whose encoder began at its
    own, A^+.

    There P* has singular values of at most 1, and a predictor of zeros has an aligned error of at
    most sqrt(d). A run fails if its error ends above that and above its own start, and does not
    fall over the last third. Any drift that keeps the predictor at its moving optimum is harmless:
    a rotation of the code, other scales of its directions.
    """
    outside = column(columns, steps, "enc_proj_dist")
    error = column(columns, steps, "W_Fro_aligned")
    width = columns.get("d_latent")
    if not outside or not width or len(error) < t.toy_rows:
        return None
    d = float(width[-1])
    if outside[0][1] ** 2 > t.toy_at_optimum * 2 * d:
        return None
    limit, last = max(error[0][1], math.sqrt(d)), error[-1][1]
    if min(v for _, v in error[-int(t.loss_points) :]) <= limit or _falls(error, t):
        return None
    reason = (
        "drifted from the optimum it started at: the aligned error of the predictor rose to"
        f" {last:.3g}, {error[0][1]:.3g} at first; a predictor of zeros has at most"
        f" {math.sqrt(d):.3g} there"
    )
    return last_stretch(error, lambda v: v > limit), reason, distance(last, limit)


def _falls(points: Points, t: Thresholds) -> bool:
    """Returns whether the values fall over the last third, by the medians of its halves."""
    values = [v for _, v in last_third(points, at_least=6)]
    half = len(values) // 2
    return median(values[-half:]) < median(values[:half]) / t.flat


def _since(points: Points, floor: float) -> int | None:
    return last_stretch(points, lambda v: v < floor)
