"""Learning curves of arms: the mean over seeds, the lowest and the highest of them, at few enough
steps to draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import History, history_of, read_metrics

POINTS = 100  # of a curve
MOST_NUMBERS = 350_000  # in a page: about 2.5 MB of JSON
FIXED = (
    "val/probe/class_from_z_agg",
    "val/probe/class_from_z",
    "val/probe/relative_action_from_z",
    "val/skill",
    "val/retrieval/top1",
    "val/codebook/usage",
    "val/z/effective_rank",
    "val/z_agg/effective_rank",
    "val/z/feature_std",
    "val/z_agg/feature_std",
)
OPEN = ("train/loss/", "train/gradient/", "train/gradient_cosine/")  # all keys that begin so
MOST_OPEN = 16  # of each: the terms of five losses


@dataclass(frozen=True)
class Band:
    """`mean` over the `n` seeds at `steps`, `low` and `high` of them; NaN where a seed was not
    finite."""

    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    n: int


def read_curves(path: Path, extra: Iterable[str] = ()) -> tuple[History, str | None]:
    """(history of the keys that are drawn, why it could not be read or None)."""
    try:
        table = read_metrics(path)
    except (OSError, UserError, ValueError) as error:
        return {}, str(error)
    wanted = {*FIXED, *extra}
    history = history_of(table)
    return {
        key: points for key, points in history.items() if key in wanted or key.startswith(OPEN)
    }, None


def shown_keys(histories: Iterable[History], extra: Sequence[str] = ()) -> list[str]:
    """The keys that some history has, the first of each open family; in the order in which they are
    drawn."""
    known = {key for history in histories for key in history}
    keys = [key for key in dict.fromkeys([*extra, *FIXED]) if key in known]
    for prefix in OPEN:
        keys += sorted((key for key in known if key.startswith(prefix)), key=_loss_order)[
            :MOST_OPEN
        ]
    return list(dict.fromkeys(keys))


def band(histories: Sequence[History], key: str, points: int = POINTS) -> Band | None:
    """Over the histories that have `key`; None if none has. Steps are those that were logged,
    between the latest first one and the earliest last one, every so many of them; a run that lacks
    a step is interpolated between its own."""
    curves = [
        np.asarray(history[key], dtype=np.float64) for history in histories if history.get(key)
    ]
    if not curves:
        return None
    start, end = max(curve[0, 0] for curve in curves), min(curve[-1, 0] for curve in curves)
    logged = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    logged = logged[(logged >= start) & (logged <= end)]
    if not len(logged):
        return None
    steps = logged[
        np.unique(np.linspace(0, len(logged) - 1, min(points, len(logged))).round().astype(int))
    ]
    values = np.stack([np.interp(steps, *_unique_steps(curve)) for curve in curves])
    values = np.where(np.isfinite(values), values, np.nan)
    return Band(
        steps=steps.astype(int).tolist(),
        mean=values.mean(axis=0).tolist(),
        low=values.min(axis=0).tolist(),
        high=values.max(axis=0).tolist(),
        n=len(curves),
    )


def points_for(arms: int, keys: int) -> int:
    """Points of a curve, so that the page stays small: POINTS, fewer for many curves, 20 at least.
    Points of a curve, so that the page stays small: POINTS, fewer for many curves, 20 at least."""
    return max(20, min(POINTS, MOST_NUMBERS // max(1, 4 * arms * keys)))


def conflicts(histories: Sequence[History]) -> dict[str, tuple[float, float, int]]:
    """{term: (mean cosine with the prediction's gradient, share of looks where it is negative,
    looks)} over runs."""
    found: dict[str, tuple[float, float, int]] = {}
    for key in shown_keys(histories):
        if key.startswith("train/gradient_cosine/"):
            values = [
                v for history in histories for _, v in history.get(key, []) if math.isfinite(v)
            ]
            if values:
                term = key.rpartition("/")[2]
                found[term] = (
                    sum(values) / len(values),
                    sum(v < 0 for v in values) / len(values),
                    len(values),
                )
    return found


def gradient_norms(
    histories: Sequence[Mapping[str, Sequence[tuple[int, float]]]],
) -> dict[str, float]:
    """{term: mean norm of its gradient on the encoder} over the looks of all runs that were
    finite."""
    keys = sorted(
        {key for history in histories for key in history if key.startswith("train/gradient/")}
    )
    values = {k: [v for h in histories for _, v in h.get(k, []) if math.isfinite(v)] for k in keys}
    return {key.rpartition("/")[2]: sum(own) / len(own) for key, own in values.items() if own}


def _unique_steps(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps in their order, each once, and the values that were logged last there."""
    steps, place = np.unique(curve[::-1, 0], return_index=True)
    return steps, curve[::-1, 1][place]


def _loss_order(key: str) -> tuple[bool, bool, str]:
    name = key.rpartition("/")[2]
    return (name != "total", name != "prediction", key)
