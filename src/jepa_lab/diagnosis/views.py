"""What the views of an image have in common, by the metrics over views that a run logs. Rank and
spread over all rows are high for pure noise, and for views that are the same in every image."""

from __future__ import annotations

import math
from collections.abc import Mapping

from jepa_lab.diagnosis.finding import Finding, History, last_stretch
from jepa_lab.diagnosis.taps import last_of, validations_of
from jepa_lab.diagnosis.thresholds import ROLES, Thresholds, distance

NEAR = 0.02  # within_share may exceed that of unrelated views by this much, by chance
MOST_VIEWS = 64


def view_findings(history: History, tap: str, t: Thresholds, *, ours: bool) -> Finding | None:
    """Returns the finding on the views of a tap at the last validation, or None.

    - complete_collapse: the features at one place are alike in all images. Or an invariant tap
      whose views of an image have nothing in common, unless that was so at the start or a probe
      tells the classes apart.
    - note: views without anything in common in all other cases. An equivariant tap of a run of
      `ours` is meant to vary within an image, and gets none.
    """
    prefix = f"val/{tap}/"
    now, role = last_of(history, prefix), ROLES.get(tap, "")
    images = now.get("n", math.inf) / max(_views(now), 1.0)
    if role == "target" or images < t.samples:
        return None
    if now.get("place_spread", math.inf) < t.spread and now.get("place_cosine", 0.0) > t.cosine:
        text = (
            "images are not told apart: the features at one place have spread"
            f" {now['place_spread']:.3g} over the images, cosine {now['place_cosine']:.4f}"
        )
        far = t.confidence(distance(now["place_spread"], t.spread))
        rows = validations_of(history, prefix)
        since = last_stretch(rows, lambda row: row.get("place_spread", 1.0) < t.spread)
        return Finding("complete_collapse", text, far, tap, since, f"{prefix}place_spread")
    common = common_share(now)
    if common is None or common >= t.unrelated or (ours and role == "equivariant"):
        return None
    text = f"the views of an image have nothing in common: correlation {common:.2f}"
    start = common_share(last_of(history, f"reference/{tap}/"))
    told = told_apart(history, tap)
    key = f"{prefix}{'view_correlation' if 'view_correlation' in now else 'within_share'}"
    why = (
        "as at the start"
        if start is not None and start < 2 * t.unrelated
        else f"a probe tells the classes apart ({told:.2f} of what chance leaves)"
        if told >= t.separability
        else ""
        if role == "invariant"
        else "right for parts of different content, wrong for views of one image"
    )
    if why:
        return Finding("note", f"{tap}: {text} ({why})", 0.5, quantity=key)
    rows = validations_of(history, prefix)
    since = last_stretch(rows, lambda row: (common_share(row) or 0.0) < t.unrelated)
    far = t.confidence(distance(max(common, 0.0), t.unrelated, 1e-3))
    text = f"images are not told apart from views: {text.removeprefix('the ')}"
    return Finding("complete_collapse", text, far, tap, since, key)


def common_share(now: Mapping[str, float]) -> float | None:
    """Returns the share of the variance that the views of an image have in common, or None.

    It is view_correlation if logged. Otherwise it is 1 - within_share v / (v - 1), which is 0 for v
    views with nothing in common. Without the number of views it is the smallest one for which
    within_share is possible.
    """
    if math.isfinite(now.get("view_correlation", math.nan)):
        return now["view_correlation"]
    within = now.get("within_share", math.nan)
    if not math.isfinite(within):
        return None
    views = _views(now)
    if views < 2:
        most = max(within - NEAR, 0.0)
        views = min(max(2.0, math.ceil(1.0 / (1.0 - most)) if most < 1 else math.inf), MOST_VIEWS)
    return 1.0 - within * views / (views - 1.0)


def _views(now: Mapping[str, float]) -> float:
    """Returns the number of views, 0 if it is unknown or no number."""
    views = now.get("views", 0.0)
    return views if math.isfinite(views) else 0.0


def told_apart(history: History, tap: str) -> float:
    """Returns (accuracy - chance) / (1 - chance) of the class probe of a tap, 0 if unknown."""
    probe = history.get(f"val/probe/class_from_{tap}")
    classes = last_of(history, "reference/").get("n_classes", 0.0)
    if not probe or classes < 2:
        return 0.0
    return (probe[-1][1] - 1.0 / classes) / (1.0 - 1.0 / classes)
