"""Fits thresholds and the confidence to the fit half of the labelled runs. Never reads the held
half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from error_rate_judged import Judged, Run, judged
from jepa_lab.diagnosis import Thresholds

# values around those of thresholds.yaml, tried one threshold at a time
TRIED: dict[str, tuple[float, ...]] = {
    "spread": (0.02, 0.03, 0.05, 0.07, 0.1),
    "cosine": (0.98, 0.99, 0.995, 0.998),
    "rank": (1.3, 1.5, 2.0, 2.5, 3.0),
    "rank_fall": (0.3, 0.4, 0.5, 0.6, 0.7),
    "class_share": (0.15, 0.2, 0.25, 0.3, 0.35),
    "few_directions": (3.0, 4.0, 5.0),
    "skill_fall": (0.05, 0.1, 0.2),
    "probe_fall": (0.05, 0.1, 0.15),
    "no_skill": (0.0, 0.02, 0.05),
    "loss_ratio": (3.0, 5.0, 10.0, 20.0),
    "spike": (1.5, 2.0, 3.0),
    "spike_once": (3.0, 4.0, 6.0),
    "mutual_information": (0.02, 0.05, 0.1),
    "action_gain": (0.0, 1e-4, 2e-4, 4e-4),
    "copy_gain": (0.01, 0.03, 0.05),
    "dominance": (2.0, 3.0, 5.0),
    "toy_rank": (1.2, 1.5, 2.0, 2.5, 3.0),
    "toy_variance": (1e-4, 1e-3, 1e-2, 3e-2),
    "toy_improvement": (0.8, 0.9, 0.95, 1.0, 1.5, 3.0),
    "toy_loss_share": (0.6, 0.7, 0.8, 0.9),
    "toy_readout_fall": (0.03, 0.05, 0.1),
    "toy_solved": (1e-4, 1e-3, 1e-2),
}
NEEDED = 0.015  # gain in balanced accuracy, about two runs, that is needed to change a value


def fit(runs: Sequence[Run]) -> dict[str, Any]:
    """Returns the thresholds that a search, one at a time, would change, and then the confidence's
    slope and intercept."""
    runs = [run for run in runs if run.half == "fit"]
    thresholds, changed = Thresholds(), {}
    start = best = balanced_accuracy(judged(runs, thresholds))
    for name, values in TRIED.items():
        tried = {
            value: balanced_accuracy(judged(runs, thresholds.but(**{name: value})))
            for value in values
        }
        value = max(tried, key=lambda v: tried[v])
        if tried[value] > best + NEEDED:
            thresholds, best = thresholds.but(**{name: value}), tried[value]
            changed[name] = {"value": value, "balanced_accuracy": best}
    slope, intercept = calibrated(judged(runs, thresholds.but(slope=1.0, intercept=0.0)))
    return {
        "runs": len(runs),
        "before": start,
        "changed": changed,
        "slope": slope,
        "intercept": intercept,
    }


def fitted_confidence(runs: Sequence[Run]) -> tuple[float, float]:
    """Returns (slope, intercept) fitted to the fit half, with the current thresholds."""
    return calibrated(
        judged(
            [run for run in runs if run.half == "fit"], Thresholds().but(slope=1.0, intercept=0.0)
        )
    )


def balanced_accuracy(found: Sequence[Judged]) -> float:
    """Returns the mean of two shares: failed runs that are called failed, and good runs that are
    called good. An inconclusive verdict counts one half."""
    shares = []
    for label in ("failed", "good"):
        rights = [j.right for j in found if j.run.oracle == label]
        shares.append(sum(0.5 if r is None else float(r) for r in rights) / max(len(rights), 1))
    return sum(shares) / 2


def calibrated(found: Sequence[Judged]) -> tuple[float, float]:
    """Returns the (slope, intercept) with the least log loss of the confidence, on a grid of
    tenths.

    `found` holds verdicts made with slope 1 and intercept 0. Verdicts with confidence 1 are left
    out, because their distance is infinite.
    """
    known = [
        (_distance(j.verdict.confidence), float(bool(j.right)))
        for j in found
        if j.weighed and j.verdict.confidence < 1.0
    ]
    x, right = (np.array(values) for values in zip(*known, strict=True))
    best = (math.inf, 0.0, 0.0)
    for slope in np.arange(0.0, 5.05, 0.1):
        for intercept in np.arange(-2.0, 4.05, 0.1):
            p = 1 / (1 + np.exp(-np.clip(intercept + slope * x, -30, 30)))
            loss = -float(np.mean(np.log(np.where(right == 1, p, 1 - p).clip(1e-6))))
            best = min(best, (loss, float(slope), float(intercept)))
    return round(best[1], 1), round(best[2], 1)


def _distance(confidence: float) -> float:
    """Returns the log odds of the confidence."""
    return math.log(confidence / (1 - confidence)) if confidence > 0 else 0.0
