"""Gaps of a logger. A table with one row for each step and one column for each metric has NaN
wherever a metric was not logged."""

from __future__ import annotations

import math
from itertools import pairwise

from jepa_lab.diagnosis.finding import Finding, History, Points, finite
from jepa_lab.diagnosis.thresholds import Thresholds


def without_gaps(history: History, t: Thresholds) -> tuple[History, list[Finding]]:
    """Returns the metrics without the NaN of gaps, and a note for each metric that had some.

    NaN values are gaps if finite values lie between them at least `t.gaps` times, and if no more of
    them stand at the end than between two finite values. Values that stay NaN are none, and
    infinite values never are.
    """
    found, notes = {}, []
    for key, points in history.items():
        # a fast test: one value that is not finite makes the sum not finite
        if math.isfinite(sum(value for _, value in points)) or not _has_gaps(points, t):
            continue
        found[key] = finite(points)
        text = (
            f"{key}: NaN at {len(points) - len(found[key])} of {len(points)} steps, with finite"
            " values in between: read as not logged"
        )
        notes.append(Finding("note", text, 0.5, quantity=key))
    return ({**history, **found} if found else history), notes


def _has_gaps(points: Points, t: Thresholds) -> bool:
    values = [value for _, value in points]
    if any(math.isinf(value) for value in values):
        return False
    at = [i for i, value in enumerate(values) if math.isfinite(value)]
    between = [b - a - 1 for a, b in pairwise(at) if b - a > 1]
    return len(between) >= t.gaps and len(values) - 1 - at[-1] <= max(between)
