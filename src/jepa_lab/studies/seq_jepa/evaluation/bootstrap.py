"""Bootstrap intervals over the images of a test set. They show how much a number depends on these
images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A number on the test images with its percentile interval over resampled images (not over
    seeds)."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def resampling_weights(n: int, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Returns (resamples, n): how often each of n samples is drawn in n draws with replacement.
    Rows sum to n."""
    return (
        np.random.default_rng(seed)
        .multinomial(n, np.full(n, 1.0 / n), size=resamples)
        .astype(np.float64)
    )


def accuracy(correct: np.ndarray, weights: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Returns the share of `correct` (n,) bool, in [0, 1]. `weights` (resamples, n) come from
    resampling_weights."""
    correct = np.asarray(correct, dtype=np.float64)
    return _estimate(float(correct.mean()), weights @ correct / len(correct), confidence)


def r_squared(
    predicted: np.ndarray, target: np.ndarray, weights: np.ndarray, confidence: float = 0.95
) -> tuple[Estimate | None, list[Estimate | None]]:
    """Returns R² = 1 - SS_residual / SS_total of predicted and target (n, k): its mean over the
    dimensions that vary, and a list of one R² for each dimension. A constant dimension has None.
    The mean is None if no dimension varies."""
    predicted, target = (
        np.asarray(predicted, dtype=np.float64),
        np.asarray(target, dtype=np.float64),
    )
    every = np.concatenate([np.ones((1, len(target))), weights])  # row 0: the sample itself
    residual = every @ (target - predicted) ** 2
    centred = target - target.mean(axis=0)
    spread = every @ centred**2 - (every @ centred) ** 2 / len(target)
    # a standard deviation below 1e-5 is rounding
    varies = spread[0] > np.maximum(1e-9 * (target**2).sum(axis=0), 1e-10 * len(target))
    if not varies.any():
        return None, [None] * target.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = 1.0 - residual / spread
    per_dim = [
        _estimate(values[0, i], values[1:, i], confidence) if v else None
        for i, v in enumerate(varies)
    ]
    mean = values[:, varies].mean(axis=1)
    return _estimate(mean[0], mean[1:], confidence), per_dim


def _estimate(value: float, resampled: np.ndarray, confidence: float) -> Estimate:
    edge = 50 * (1 - confidence)
    finite = resampled[np.isfinite(resampled)]
    low, high = np.percentile(finite, [edge, 100 - edge]) if len(finite) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))
