"""Plots of the page of a comparison, as plain numbers: curves over training, and conflicts of
gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jepa_lab.ledger.parquet import History
from jepa_lab.report import page_charts
from jepa_lab.report.comparison.curves import (
    Band,
    band,
    conflicts,
    gradient_norms,
    points_for,
    shown_keys,
)
from jepa_lab.report.comparison.metric_choice import counterpart
from jepa_lab.report.comparison.paired_text import is_accuracy
from jepa_lab.report.comparison.ranking import Ranking

Json = dict[str, Any]
SECTIONS = (
    ("val/probe", "learning"),
    ("val/skill", "learning"),
    ("val/retrieval", "learning"),
    ("val/codebook", "rank"),
    ("train/loss", "learning"),
    ("train/gradient", "gradients"),
    ("val/z", "rank"),
)
FLOOR = -1.0  # lower end of the axis of R² and skill, which may start far below zero


def curve_panels(ranking: Ranking, histories: Mapping[str, History]) -> list[Json]:
    """Returns a panel for each key. Bands are over completed runs.

    An arm without completed runs shows its other runs and is marked as partial."""
    by_arm = {}
    for one in ranking.arms:
        rows = one.arm.completed() or one.arm.rows
        by_arm[one.name] = [
            histories[row["run_dir"]] for row in rows if row["run_dir"] in histories
        ]
    keys = shown_keys([h for own in by_arm.values() for h in own], [counterpart(ranking.metric)])
    points = points_for(len(by_arm), len(keys))
    panels = []
    for key in keys:
        series = []
        for i, one in enumerate(ranking.arms):
            found = band(by_arm[one.name], key, points)
            if found is not None and any(map(math.isfinite, found.mean)):
                series.append({"arm": i, **_series(found), "partial": not one.arm.completed()})
        if series:
            panels.append(
                {"key": key, "section": _section(key), **unit(key), **_scale(key), "series": series}
            )
    return panels


def _series(found: Band) -> Json:
    content: Json = {"x": found.steps, "y": [short(v) for v in found.mean], "n": found.n}
    if found.n > 1:
        content |= {"lo": [short(v) for v in found.low], "hi": [short(v) for v in found.high]}
    return content


def _section(key: str) -> str:
    return next((section for prefix, section in SECTIONS if key.startswith(prefix)), "learning")


def _scale(key: str) -> Json:
    """Returns the options of the y axis: ranks, scales and accuracies include zero, and losses and
    gradients may have a log axis."""
    if "gradient_cosine" in key:
        return {"limits": [-1, 1]}
    if is_accuracy(key) or "effective_rank" in key or "feature_std" in key:
        return {"from_zero": True}
    if "train/gradient/" in key:
        return {"may_log": True, "from_zero": True}
    if "loss/" in key:
        return {"may_log": True}
    return {"floor": FLOOR} if "action_from" in key or key.endswith("skill") else {}


def unit(key: str) -> Json:
    return {"percent": is_accuracy(key)}


def conflict_rows(ranking: Ranking, histories: Mapping[str, History]) -> list[Json]:
    """Returns a row for each arm and term of its loss: mean gradient norm, its share of the sum,
    cosine with the gradient of the prediction, share of negative cosines."""
    rows = []
    for i, one in enumerate(ranking.arms):
        own = [histories[row["run_dir"]] for row in one.arm.rows if row["run_dir"] in histories]
        norms, cosines = gradient_norms(own), conflicts(own)
        total = sum(norms.values())
        for term, norm in norms.items():
            cosine, against, looks = cosines.get(term, (None, None, 0))
            share = norm / total if total > 0 else None
            rows.append(
                {
                    "arm": i,
                    "term": term,
                    "norm": short(norm),
                    "share": short(share),
                    "cosine": short(cosine),
                    "against": short(against),
                    "looks": looks,
                }
            )
    return rows


def short(value: Any) -> float | None:
    """Returns four significant digits: a comparison has many curves."""
    return page_charts.short(value, digits=4)
