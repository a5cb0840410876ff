"""Rules for loss curves: values that are not finite, divergence, spikes and exploding auxiliary
terms."""

from __future__ import annotations

import math

import numpy as np

from jepa_lab.diagnosis.finding import Finding, History, Points, last_stretch
from jepa_lab.diagnosis.thresholds import Thresholds, distance

CALMER = ("optim.lr*0.3", "optim.clip=1")
# A rise of these terms is no explosion: they belong to the prediction loss, and the rate is meant
# to grow.
NO_AUXILIARY = (
    "prediction",
    "info_nce",
    "total",
    "rate",
    "cross_entropy",
    "teacher_entropy",
    "kl",
    "supervised",
)
# terms that share one weight
OF_CODEBOOK = dict.fromkeys(("commitment", "codebook", "usage"), "vq")
BASELINE = "val/loss/constant"  # no loss of the model; not finite only if one of those is not
TO_STD = 1.4826  # a standard deviation over the median deviation, for normal values
WINDOW = 7  # number of logged losses on either side of a spike


def diverged(history: History, t: Thresholds) -> Finding | None:
    """Reports a loss or gradient that is not finite, or a loss that ends far above its best
    value."""
    broken = _not_finite(history)
    if broken is not None:
        return broken
    name, loss = _loss(history)
    # A total with a rate term can be negative, and then its ratios mean nothing.
    if len(loss) < 10 or min(v for _, v in loss) < 0:
        return None
    best, limit, high = math.inf, math.inf, []
    moving, ratio, floor, first = _moving(history), t.loss_ratio, t.loss_floor, loss[0][1]
    for step, value in loss:
        best = first if moving else min(best, value)
        limit = max(ratio * max(best, floor), first)
        high.append((step, float(value > limit)))
    if not all(is_high for _, is_high in high[-int(t.loss_points) :]):
        return None
    reason = f"{name} {loss[-1][1]:.3g}, {best:.3g} at best"
    far = t.confidence(distance(loss[-1][1], limit))
    return Finding(
        "diverged", reason, far, since=last_stretch(high, bool), quantity=name, next=CALMER
    )


def _not_finite(history: History) -> Finding | None:
    """Reports the loss or gradient that was not finite first, and stays so. Others follow from it.
    One that is finite again was a bad batch, or a step that a gradient scaler skipped."""
    found = []
    for key in sorted(history.keys() - {BASELINE}):
        if key.startswith(("train/loss/", "val/loss/", "train/grad_norm")):
            # A fast test: one value that is not finite makes the sum not finite.
            if math.isfinite(sum(value for _, value in history[key])):
                continue
            since = last_stretch(history[key], lambda v: not math.isfinite(v))
            if since is not None:
                found.append((since, key))
    if not found:
        return None
    # A loss before a gradient of the same step, and a part before the total.
    since, key = min(found, key=lambda f: (f[0], f[1].startswith("train/grad"), "total" in f[1]))
    return Finding("diverged", f"{key} is not finite", 1.0, since=since, quantity=key, next=CALMER)


def unstable(history: History, t: Thresholds) -> Finding | None:
    """Reports spikes of the loss far above the values before and after them. One very large spike
    is enough. Smaller spikes count if there are several."""
    name, loss = _loss(history)
    if _moving(history) or len(loss) < 3 * WINDOW or not all(math.isfinite(v) for _, v in loss):
        return None
    spikes = _spikes(loss, t)
    big = [s for s in spikes if s[1] > t.spike_once]
    if not big and len(spikes) < t.spikes:
        return None
    step, worst = max(spikes, key=lambda s: s[1])
    count = f"{len(spikes)} spike{'s' * (len(spikes) > 1)} of {name}"
    reason = f"{count}, the worst {worst:.1f} times its surroundings at step {step}"
    far = max(
        distance(worst, t.spike_once) if big else 0.0,
        distance(len(spikes), t.spikes) * (len(spikes) >= t.spikes),
    )
    return Finding(
        "unstable", reason, t.confidence(far), since=spikes[0][0], quantity=name, next=CALMER
    )


def _spikes(loss: Points, t: Thresholds) -> list[tuple[int, float]]:
    """Returns (step, ratio to its surroundings) of every spike after the warm-up. Neighbouring
    values count as one spike.

    A spike also stands out of the curve's own noise, such as that of small batches: its logarithm
    is further from that of its surroundings than `spike_noise` standard deviations, by the median
    deviation of all values.
    """
    values = np.array([value for _, value in loss])
    middles = np.median(np.lib.stride_tricks.sliding_window_view(values, WINDOW), axis=1)
    first = max(WINDOW, int(t.warmup * len(loss)))
    # The window before position i begins at i - WINDOW. The window after it begins at i + 1.
    inside = np.arange(first, len(values) - WINDOW)
    around = np.maximum(np.maximum(middles[inside - WINDOW], middles[inside + 1]), t.loss_floor)
    ratios = values[inside] / around
    logs = np.log(np.maximum(ratios, np.finfo(float).tiny))
    noise = TO_STD * float(np.median(np.abs(logs - np.median(logs))))
    found: list[tuple[int, float]] = []
    last = -WINDOW
    for i in np.flatnonzero((ratios > t.spike) & (logs > t.spike_noise * noise)):
        step, ratio = loss[int(inside[i])][0], float(ratios[i])
        if i - last >= WINDOW:
            found.append((step, ratio))
        elif ratio > found[-1][1]:
            found[-1] = (found[-1][0], ratio)
        last = int(i)
    return found


def exploding(history: History, t: Thresholds) -> list[Finding]:
    """Reports auxiliary terms that end far above their smallest value and above their first value.

    If the share of a term in the loss is logged, a term with a small share is ignored. Without a
    share it is a note where the total fell meanwhile: the optimiser gave the term up for others, as
    VICReg does with its covariance.
    """
    found = []
    for key in sorted(history):
        name = key.removeprefix("train/loss/")
        points = history[key]
        if (
            name == key
            or name in NO_AUXILIARY
            or len(points) < 10
            or min(v for _, v in points) <= 0
        ):
            continue
        share = history.get(f"train/share/{OF_CODEBOOK.get(name, name)}")
        if share and share[-1][1] < t.explosion_share:
            continue
        least = min(v for _, v in points)
        limit = max(t.explosion * least, points[0][1])
        if all(value > limit for _, value in points[-int(t.loss_points) :]):
            reason = f"{name} rose to {points[-1][1]:.3g} from a minimum of {least:.3g}"
            since = last_stretch(points, lambda v, limit=limit: v > limit)  # type: ignore[misc]
            far = t.confidence(distance(points[-1][1], limit))
            status = "unstable"
            if not share and _total_fell(history, next(s for s, v in points if v == least)):
                status, reason = "note", f"{reason}, while the total fell"
            found.append(Finding(status, reason, far, since=since, quantity=key, next=CALMER))
    return found


def _total_fell(history: History, step: int) -> bool:
    """Returns whether the mean total loss of the last fifth lies below that at the step."""
    total = history.get("train/loss/total", ())
    if not total:
        return False
    end = [value for _, value in total[-max(1, len(total) // 5) :]]
    then = min(total, key=lambda point: abs(point[0] - step))[1]
    return sum(end) / len(end) < then


def _loss(history: History) -> tuple[str, Points]:
    name = "train/loss/prediction" if history.get("train/loss/prediction") else "train/loss/total"
    return name, history.get(name, ())


def _moving(history: History) -> bool:
    """Returns whether the loss is a cross-entropy, which follows the entropy of its targets. It is
    small for one-hot targets and rises as the targets spread."""
    return bool(history.get("train/loss/cross_entropy"))
