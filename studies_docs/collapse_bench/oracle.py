"""The oracle of the benchmark: it labels a run by data that no rule reads.

It was written down before a verdict on any of these runs was computed, and was not changed after.
Its limits were set on the quantities below of trial runs, without verdicts.

Images. `train` gives 800 images to fit on, `test` 800 (500 digits) to measure on; the monitor sees
neither. Features are those of the encoder in evaluation mode on clean images, without a planted
leak, as rows of length 1 with noise of 1e-3, because smaller differences are lost to anyone who
stores features in half precision. For vq the features are the quantised ones. Each quantity is
measured for the trained network T, for the untrained one U, from which the run started, and (knn
and probe) for the raw input R.

Features
- knn: accuracy of the five nearest neighbours by cosine, each weighted by exp(10 cosine).
- probe: accuracy of ridge regression on the classes (1e-3 of the mean eigenvalue).
- factors: R2 of the known factors of synthetic images, by the same regression.
- actions: R2 of the action between two views of an image, from the features of both and their
  products, where the method has actions.
- moved: 1 - linear CKA between the test features of T and of U.

A difference of knn or probe is clear if it is above two standard errors of the difference over
test images (paired).
- lost (knn, probe): T has less than 0.75 of what U has above chance, T is clearly and by more than
  0.05 below U, and T is clearly below R.
- lost (factors, actions): U has at least 0.2 and T less than half of it.
- gained (knn, probe): T is at least 0.02 above U, and clearly.
- kept (knn, probe): T is at most 0.04 below U, or it is not clearly below R.

The features are
- failed if they are not finite; if one of knn and probe is lost and the other is not kept; or if
  factors or actions are lost and neither knn nor probe is gained;
- good if not failed, knn and probe are kept, the better of the two is at least half as far above
  chance as the better of the raw input, and one of them is gained, or both are at least 0.9 (a
  ceiling) and moved is above 0.05;
- kept if the same holds but for the gain: they did not change, or changed without a use for the
  classes;
- undecided otherwise.

Prediction, on fresh views of test images, without planted leaks and with different views
- retrieved: share of images whose own target is nearest, by cosine, to the prediction among 50
  targets. The prediction is that of a predictor, or else the projection of the other view.
- recovered (autoencoders): R2 of the pixels, after both images lost their mean over images.
- classified (supervised): accuracy of the network's own head, less that of the largest class.

The prediction is failed if it is at chance or hardly above: retrieved at most 0.06 (three times
chance), recovered at most 0.05, classified at most 0.04; or not finite. It is good if
retrieved is at least 0.15, recovered at least 0.3, classified at least 0.15, and it is at least
0.05 above that of the untrained network. Otherwise it is undecided.

The run is failed if its features failed, or if its prediction failed in a run that was not stopped
early; good if its features are good and its prediction did not fail, or if its features are kept,
its prediction is good and moved is above 0.05; undecided otherwise.

Onset. `lost_at` is the first validation from which on the features are failed until the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NOISE, RIDGE, NEIGHBOURS, WEIGHT = 1e-3, 1e-3, 5, 10.0
FITTED, CANDIDATES = 800, 50
LOST_SHARE, LOST, CLEAR, GAINED, KEPT = 0.75, 0.05, 2.0, 0.02, 0.04
HALF, ENOUGH, CEILING, MOVED, BETTER = 0.5, 0.2, 0.9, 0.05, 0.05
CHANCE = {"retrieved": 3 / CANDIDATES, "recovered": 0.05, "classified": 0.04}
WELL = {"retrieved": 0.15, "recovered": 0.3, "classified": 0.15}
LABELS = ("failed", "good", "undecided")


@dataclass(frozen=True)
class Measured:
    """The quantities of one network. `hits` holds, for knn and probe, whether each test image was
    right (n,) bool; `values` the other quantities and the means of these. `rows` are the test
    features (n, d), for `moved`, and are not stored."""

    finite: bool = True
    values: Mapping[str, float] = field(default_factory=dict)
    hits: Mapping[str, np.ndarray] = field(default_factory=dict)
    rows: Tensor | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the quantities for a JSON file, with the hits as hexadecimal bits."""
        hits = {k: [len(h), np.packbits(h).tobytes().hex()] for k, h in self.hits.items()}
        values = {k: float(f"{v:.6g}") for k, v in self.values.items()}
        return {"finite": self.finite, "values": values, "hits": hits}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Measured:
        """Reads what `to_dict` returned."""
        hits = {
            k: np.unpackbits(np.frombuffer(bytes.fromhex(bits), dtype=np.uint8))[:n].astype(bool)
            for k, (n, bits) in stored["hits"].items()
        }
        return cls(stored["finite"], stored["values"], hits)


def measure(
    fit: Tensor, labels: Tensor, rows: Tensor, truth: Tensor, factors: tuple[Tensor, Tensor]
) -> Measured:
    """Returns knn and probe of features `rows` (n, d) of test images, with those of training images
    `fit` (m, d) to fit on, and the R2 of `factors` (m, F), (n, F)."""
    if not (bool(torch.isfinite(fit).all()) and bool(torch.isfinite(rows).all())):
        return Measured(finite=False)
    fit, rows = noisy(fit), noisy(rows)
    target = F.one_hot(labels, int(max(labels.max(), truth.max())) + 1).double()
    hits = {
        "knn": (neighbours(fit, target, rows).argmax(1) == truth).numpy(),
        "probe": (ridge(fit, target, rows).argmax(1) == truth).numpy(),
    }
    values = {name: float(h.mean()) for name, h in hits.items()}
    if factors[0].shape[1]:
        values["factors"] = explained(fit, factors[0], rows, factors[1])
    return Measured(True, values, hits, rows)


def noisy(rows: Tensor) -> Tensor:
    """Returns rows (n, d) of length 1 in float64 plus noise of length NOISE, the same for rows of
    one shape. The images of two parts at the same place have nothing to do with each other, so that
    sharing it tells nothing."""
    unit = F.normalize(rows.double().flatten(1), dim=1)
    random = torch.Generator().manual_seed(len(rows))
    noise = torch.randn(unit.shape, generator=random, dtype=torch.float64)
    return unit + NOISE / math.sqrt(unit.shape[1]) * noise


def neighbours(fit: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """Returns the votes (n, k) of the nearest rows of `fit` (m, d), which have targets (m, k)."""
    cosine = F.normalize(rows, dim=1) @ F.normalize(fit, dim=1).T
    near, index = cosine.topk(NEIGHBOURS, dim=1)
    return ((WEIGHT * near).exp().unsqueeze(2) * target[index]).sum(1)


def ridge(fit: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """Returns the predictions (n, k) of ridge regression fitted on (m, d) and (m, k)."""
    mean, middle = fit.mean(0), target.mean(0)
    centred = fit - mean
    moment = centred.T @ centred
    weight = RIDGE * moment.diagonal().mean().clamp_min(1e-12)
    moment = moment + weight * torch.eye(len(moment), dtype=moment.dtype)
    return (rows - mean) @ torch.linalg.solve(moment, centred.T @ (target - middle)) + middle


def explained(fit: Tensor, target: Tensor, rows: Tensor, truth: Tensor) -> float:
    """Returns R2 over all columns of `truth` (n, k), predicted by ridge regression."""
    target, truth = target.double(), truth.double()
    residual = truth - ridge(fit, target, rows)
    return float(1 - residual.square().sum() / (truth - target.mean(0)).square().sum())


def action_readout(z: Tensor, actions: Tensor) -> float:
    """Returns R2 of actions (n, A) from the features (n, 2, d) of the two views, fitted on the
    first half and measured on the second. NaN if the features are not finite."""
    if not bool(torch.isfinite(z).all()):
        return math.nan
    one, other = noisy(z[:, 0]), noisy(z[:, 1])
    scale = math.sqrt(one.shape[1])
    rows, half = torch.cat([one, other, scale * one * other], dim=1), len(z) // 2
    return explained(rows[:half], actions[:half], rows[half:], actions[half:])


def retrieved(prediction: Tensor, target: Tensor) -> float:
    """Returns the share of predictions (n, d) that are nearest to their own target (n, d) among
    CANDIDATES of them. NaN if they are not finite."""
    if not bool(torch.isfinite(prediction).all() and torch.isfinite(target).all()):
        return math.nan
    hits = []
    for start in range(0, len(target) - CANDIDATES + 1, CANDIDATES):
        part = slice(start, start + CANDIDATES)
        # the two flips cancel: a prediction and its target must not get the same noise
        keys = F.normalize(noisy(target[part].flip(0)).flip(0), dim=1)
        cosine = F.normalize(noisy(prediction[part]), dim=1) @ keys.T
        hits.append((cosine.argmax(1) == torch.arange(CANDIDATES)).double())
    return float(torch.cat(hits).mean())


def moved(trained: Tensor, untrained: Tensor) -> float:
    """Returns 1 - linear CKA (Kornblith et al. 2019) between two sets of rows (n, d), (n, e)."""
    a, b = trained - trained.mean(0), untrained - untrained.mean(0)
    norm = (a.T @ a).norm() * (b.T @ b).norm()
    return float(1 - (a.T @ b).square().sum() / norm.clamp_min(1e-30))


def label_features(trained: Measured, untrained: Measured, raw: Measured, chance: float) -> str:
    """Returns failed, good, kept or undecided for the features, by the rule in the docstring."""
    if not trained.finite:
        return "failed"
    both = ("knn", "probe")
    kept = {m: _kept(m, trained, untrained, raw) for m in both}
    gained = any(_gained(m, trained, untrained) for m in both)
    for one, other in (both, both[::-1]):
        if _lost(one, trained, untrained, raw, chance) and not kept[other]:
            return "failed"
    if not gained and any(_lost_readout(m, trained, untrained) for m in ("factors", "actions")):
        return "failed"
    if not all(kept.values()):
        return "undecided"
    best, most = (max(m.values[k] - chance for k in both) for m in (trained, raw))
    if best < HALF * most:
        return "undecided"
    ceiling = all(trained.values[m] >= CEILING for m in both)
    moves = trained.values.get("moved", 0.0) > MOVED
    return "good" if gained or (ceiling and moves) else "kept"


def label_prediction(trained: Mapping[str, float], untrained: Mapping[str, float]) -> str:
    """Returns failed, good or undecided for the prediction, from its quantity. It is undecided
    without a quantity."""
    for name, chance in CHANCE.items():
        if name not in trained:
            continue
        if not math.isfinite(trained[name]):
            return "failed"
        if trained[name] <= chance:
            return "failed"
        better = trained[name] >= untrained[name] + BETTER
        return "good" if trained[name] >= WELL[name] and better else "undecided"
    return "undecided"


def label_run(features: str, prediction: str, early: bool, moved: float) -> str:
    """Returns failed, good or undecided for the run."""
    if features == "failed" or (prediction == "failed" and not early):
        return "failed"
    if features == "good" and prediction != "failed":
        return "good"
    learned = features == "kept" and prediction == "good" and moved > MOVED
    return "good" if learned else "undecided"


def _difference(m: str, one: Measured, other: Measured) -> tuple[float, bool]:
    """Returns the difference of a measure and whether it is clear."""
    each = one.hits[m].astype(float) - other.hits[m].astype(float)
    error = float(each.std(ddof=1)) / math.sqrt(len(each))
    mean = float(each.mean())
    return mean, abs(mean) > CLEAR * error


def _lost(m: str, trained: Measured, untrained: Measured, raw: Measured, chance: float) -> bool:
    change, clear = _difference(m, trained, untrained)
    below, clearly = _difference(m, trained, raw)
    kept = (trained.values[m] - chance) < LOST_SHARE * (untrained.values[m] - chance)
    return kept and clear and change < -LOST and clearly and below < 0


def _gained(m: str, trained: Measured, untrained: Measured) -> bool:
    change, clear = _difference(m, trained, untrained)
    return clear and change >= GAINED


def _kept(m: str, trained: Measured, untrained: Measured, raw: Measured) -> bool:
    below, clearly = _difference(m, trained, raw)
    return _difference(m, trained, untrained)[0] >= -KEPT or not (clearly and below < 0)


def _lost_readout(m: str, trained: Measured, untrained: Measured) -> bool:
    before = untrained.values.get(m, math.nan)
    return before >= ENOUGH and trained.values[m] < HALF * before
