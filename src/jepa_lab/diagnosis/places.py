"""The verdict over images on features of several views, tokens or frames of each image: what is the
same in every image tells none apart, whatever the rank over all rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from jepa_lab.config.statuses import COLLAPSES
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.looking import Look, percent
from jepa_lab.diagnosis.taps import judge_tap
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.metrics import collapse_metrics
from jepa_lab.metrics import variance_parts as parts


@dataclass
class Places:
    """The result: `finding` if the images fail where the rows alone do not, notes, and numbers for
    the evidence. `n` is the number of rows that differ, for the possible rank."""

    n: float
    finding: Finding | None = None
    notes: list[str] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)


def judge_places(found: Look, t: Thresholds) -> Places:
    """Returns the verdict over images of the rows that are left. It says nothing of a single view,
    and little of fewer than 32 images."""
    out = Places(float(len(found.x)))
    images, places = found.images, len(torch.unique(found.place))
    if found.v < 2 or len(found.x) < images + places:
        return out
    if images < t.samples:
        order = "; z is (images, views, d): check the order" if places > images else ""
        out.notes.append(
            f"{images} images of {places:,} views are too few to compare images{order}"
        )
        return out
    x, image, place = found.x, found.image, found.place
    shares = parts.variance_parts(x, image, place)
    common = parts.view_correlation(x, image, place)
    out.facts = {
        "image_share": shares.image,
        "place_share": shares.place,
        "view_correlation": common,
        "place_cosine": parts.place_cosine(x, place),
        "place_spread": parts.place_spread(x, place),
    }
    out.finding = _over_images(out.facts, x, place, t)
    if shares.place >= t.place_share:
        out.notes.append(
            f"{percent(shares.place)} of the variance is that of the {places:,} places, the same"
            " in every image"
        )
    if out.finding is not None:
        return out
    if common >= t.same_views:
        out.n = float(images)
        out.notes.append(f"the {places:,} views of an image are the same up to their place")
    elif common >= t.alike_views:
        out.notes.append(
            f"the {places:,} views of an image are the same but for small differences (correlation"
            f" {common:.4f})"
        )
    elif common < t.unrelated:
        out.notes.append(
            f"the {places:,} views of an image have nothing in common (correlation {common:.2f}):"
            " right for tokens of different content, wrong for views of one image"
        )
    return out


def _over_images(
    facts: dict[str, float], x: Tensor, place: Tensor, t: Thresholds
) -> Finding | None:
    spread, cosine, share = facts["place_spread"], facts["place_cosine"], facts["place_share"]
    if spread < t.spread and cosine > t.cosine:
        text = (
            f"images are not told apart: between images the features at one place have cosine"
            f" {cosine:.4f} and spread {spread:.3g}"
        )
        far = t.confidence(distance(spread, t.spread))
        return Finding("complete_collapse", text, far, quantity="place_spread")
    if share < t.place_judged:
        return None
    found = judge_about(parts.without_place(x, place), t)
    if found.status not in COLLAPSES:
        return None
    text = f"over images, without their places: {found.reason}"
    return Finding("dimensional_collapse", text, found.confidence, quantity=found.quantity)


def judge_about(deviations: Tensor, t: Thresholds) -> Finding:
    """Returns the finding on deviations (N, d) from a common mean, by their rank."""
    now = {**collapse_metrics(deviations), "d": float(deviations.shape[1])}
    return judge_tap(now, {}, t, skill_fell=False)
