"""Scores of one network in the frozen evaluation: readouts of class and action, gaps between them,
and metrics of its features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jepa_lab.metrics import within_share
from jepa_lab.studies.seq_jepa.evaluation.bootstrap import (
    Estimate,
    accuracy,
    r_squared,
    resampling_weights,
)
from jepa_lab.studies.seq_jepa.evaluation.equivariance import (
    copy_error,
    linear_action_map_error,
    predictor_error,
)
from jepa_lab.studies.seq_jepa.evaluation.features import Features
from jepa_lab.studies.seq_jepa.evaluation.readouts import CLASSIFIERS, REGRESSIONS

Read = Callable[[Features], torch.Tensor]
RESAMPLES = 1000


@dataclass(frozen=True)
class Figure:
    """A number for a network `row`. `readout` is linear, knn, mlp, or "" for a metric. `views` is
    the number of observed views, or None."""

    row: str
    question: str
    readout: str
    views: int | None
    estimate: Estimate
    detail: bool = False  # True for a single factor or a single number of a question

    def to_dict(self) -> dict[str, Any]:
        named = {
            "row": self.row,
            "question": self.question,
            "readout": self.readout,
            "views": self.views,
            "detail": self.detail,
        }
        return {**named, **self.estimate.to_dict()}


def row_figures(
    row: str, features: dict[str, Features], views: Sequence[int], factors: Mapping[str, slice]
) -> list[Figure]:
    """Returns every figure of one network. `factors` maps each factor to its slice of an action.
    Classes are read only if the training images are of several."""
    test = features["test"]
    weights = resampling_weights(len(test.z), RESAMPLES)
    figures: list[Figure] = []
    if test.labels is not None:
        figures += _class_figures(row, features, views, weights)
    figures += _action_figures(row, features, factors, weights)
    figures += _gap_figures(row, figures, test.trained_on)
    return figures + _metric_figures(row, features, weights)


def _class_figures(
    row: str, features: dict[str, Features], views: Sequence[int], weights: np.ndarray
) -> list[Figure]:
    labels = {split: f.labels.numpy() for split, f in features.items() if f.labels is not None}
    if len(np.unique(labels["train"])) < 2:
        return []
    inputs: list[tuple[str, int | None, dict[str, np.ndarray]]] = [
        ("class from z", None, {s: f.z[:, 0].numpy() for s, f in features.items()})
    ]
    inputs += [
        ("class from z_agg", m, {s: f.z_agg[m].numpy() for s, f in features.items()}) for m in views
    ]
    figures = []
    for question, m, x in inputs:
        for readout, fit in CLASSIFIERS.items():
            found = fit(x["train"], labels["train"], x["val"], labels["val"], x["test"])
            figures.append(
                Figure(row, question, readout, m, accuracy(found == labels["test"], weights))
            )
    return figures


def _action_figures(
    row: str, features: dict[str, Features], factors: Mapping[str, slice], weights: np.ndarray
) -> list[Figure]:
    m = features["test"].trained_on
    figures = []
    for question, views, read, answer in action_questions(m, sorted(features["test"].z_agg)):
        x = {split: read(f).numpy() for split, f in features.items()}
        y = {split: answer(f).numpy().astype(np.float64) for split, f in features.items()}
        for readout, fit in REGRESSIONS.items():
            found = fit(x["train"], y["train"], x["val"], y["val"], x["test"])
            mean, per_dim = r_squared(found, y["test"], weights)
            if mean is None:
                continue
            figures.append(Figure(row, question, readout, views, mean))
            if len(factors) > 1:
                for name, part in factors.items():
                    of_factor, _ = r_squared(found[:, part], y["test"][:, part], weights)
                    if of_factor is not None:
                        figures.append(
                            Figure(
                                row, f"{question}, {name}", readout, views, of_factor, detail=True
                            )
                        )
            if sum(d is not None for d in per_dim) > 1:
                named = (
                    (f"{question}, number {i}", d) for i, d in enumerate(per_dim) if d is not None
                )
                figures += [Figure(row, name, readout, views, d, detail=True) for name, d in named]
    return figures


def action_questions(m: int, views: Sequence[int]) -> list[tuple[str, int, Read, Read]]:
    """Returns (question, observed views, features, answer) for a model trained on m observed
    views. "view" is a single view's own parameters. "path" is the change from the first observed
    view to the last. z_agg gets the single actions as input and must have summed them (path
    integration)."""
    asked: list[tuple[str, int, Read, Read]] = [
        ("view from z", 1, lambda f: f.z[:, m], lambda f: f.absolute[:, m]),
        (
            "view from z_agg, actions zeroed",
            m,
            lambda f: f.blind[m],
            lambda f: f.absolute[:, :m].mean(1),
        ),
    ]
    if m >= 2:
        asked += [
            ("action from z", 2, lambda f: f.z[:, :2].flatten(1), lambda f: f.actions[:, 0]),
            ("action from z_agg", m, lambda f: f.z_agg[m], lambda f: f.actions[:, 0]),
        ]
    if m >= 3:
        name = "relative action from z"
        asked.append((name, 2, lambda f: f.z[:, 1:3].flatten(1), lambda f: f.actions[:, 1]))
    return asked + [_path(k) for k in views if k >= 3]


def _path(k: int) -> tuple[str, int, Read, Read]:
    return f"path of {k} views from z_agg", k, lambda f: f.z_agg[k], lambda f: f.path[k]


def _gap_figures(row: str, figures: Sequence[Figure], trained_on: int) -> list[Figure]:
    """Returns the published gaps, between readouts of equal capacity. The class should be easier to
    read from z_agg, the action from z."""
    out = []
    for name, more, less, readout in (
        ("class gap (z_agg less z)", "class from z_agg", "class from z", "linear"),
        ("action gap (z less z_agg)", "action from z", "action from z_agg", "mlp"),
    ):
        a = [f for f in figures if (f.question, f.readout) == (more, readout)]
        a = [f for f in a if f.views == trained_on] or a
        b = [f for f in figures if (f.question, f.readout) == (less, readout)]
        if a and b:
            value = a[-1].estimate.value - b[-1].estimate.value
            out.append(Figure(row, name, readout, a[-1].views, Estimate(value, value, value)))
    return out


def _metric_figures(row: str, features: dict[str, Features], weights: np.ndarray) -> list[Figure]:
    train, test = features["train"], features["test"]
    m = test.trained_on

    def over_images(question: str, measure: Any) -> Figure:
        value = measure(torch.arange(len(test.z)))
        drawn = [
            measure(torch.from_numpy(np.repeat(np.arange(len(w)), w.astype(int))))
            for w in weights[:50]
        ]
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Figure(row, question, "", m, Estimate(value, float(low), float(high)))

    pair = torch.stack([test.z_agg[m], test.again], dim=1)
    # True for one observed view that is always the reference
    upright_only = bool(torch.equal(test.z_agg[m], test.again))
    figures = [over_images("within share of z", lambda i: float(within_share(test.z[i, : m + 1])))]
    if not upright_only:
        figures.append(over_images("within share of z_agg", lambda i: float(within_share(pair[i]))))
    if row in ("this run", "supervised"):
        error = over_images(
            "error of the predictor", lambda i: predictor_error(test.z_hat[i], test.z[i, m])
        )
        figures.append(error)
    figures.append(over_images("error of copying z", lambda i: copy_error(test.z[i, : m + 1])))
    if test.z.shape[2] <= 1024:  # the map has d (A + 1) rows
        value = linear_action_map_error(
            train.z[:, : m + 1], train.actions[:, :m], test.z[:, : m + 1], test.actions[:, :m]
        )
        figures.append(
            Figure(row, "error of the best linear action map", "", m, Estimate(value, value, value))
        )
    return figures
