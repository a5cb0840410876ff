"""Learning curves of arms: mean, lowest and highest value over seeds, at a few steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import History, history_of, read_metrics

POINTS = 100  # of a curve
MOST_NUMBERS = 350_000  # of a page: about 2.5 MB of JSON
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
OPEN = ("train/loss/", "train/gradient/", "train/gradient_cosine/")  # prefixes of drawn keys
MOST_OPEN = 16  # keys of each prefix: the terms of five losses


@dataclass(frozen=True)
class Band:
    """Mean, lowest and highest value over `n` seeds at `steps`, NaN if a seed is not finite."""

    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    n: int


def read_curves(path: Path, extra: Iterable[str] = ()) -> tuple[History, str | None]:
    """Returns (history of the drawn keys, None), or ({}, reason) if it cannot be read.

    `extra` are keys to draw beside FIXED and OPEN."""
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
    """Returns the keys to draw that any history has, in their order on the page.

    Each prefix in OPEN gives at most MOST_OPEN keys."""
    known = {key for history in histories for key in history}
    keys = [key for key in dict.fromkeys([*extra, *FIXED]) if key in known]
    for prefix in OPEN:
        keys += sorted((key for key in known if key.startswith(prefix)), key=_loss_order)[
            :MOST_OPEN
        ]
    return list(dict.fromkeys(keys))


def band(histories: Sequence[History], key: str, points: int = POINTS) -> Band | None:
    """Returns the band of `key` over the histories that have it, None if none has.

    The steps are an even selection of at most `points` logged steps, from the range of steps that
    all runs cover. A run that did not log a step is interpolated."""
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
    """Returns the number of points of a curve: POINTS, fewer if the page has many curves, at least
    20."""
    return max(20, min(POINTS, MOST_NUMBERS // max(1, 4 * arms * keys)))


def conflicts(histories: Sequence[History]) -> dict[str, tuple[float, float, int]]:
    """Returns {term: (mean cosine with the gradient of the prediction, share of negative cosines,
    number of measurements)} over all runs."""
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
    """Returns {term: mean norm of its gradient on the encoder} over the finite measurements of all
    runs."""
    keys = sorted(
        {key for history in histories for key in history if key.startswith("train/gradient/")}
    )
    values = {k: [v for h in histories for _, v in h.get(k, []) if math.isfinite(v)] for k in keys}
    return {key.rpartition("/")[2]: sum(own) / len(own) for key, own in values.items() if own}


def _unique_steps(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sorted distinct steps, and the last value logged at each."""
    steps, place = np.unique(curve[::-1, 0], return_index=True)
    return steps, curve[::-1, 1][place]


def _loss_order(key: str) -> tuple[bool, bool, str]:
    name = key.rpartition("/")[2]
    return (name != "total", name != "prediction", key)
