"""Readouts of frozen features: linear and nearest neighbours for classes, linear and a small MLP
for numbers. All standardise the features first by the mean and spread of the training features, so
that none depends on their scale."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # inverse regularisation of the linear classifier
NEIGHBOURS = 20
Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def linear_classifier(
    train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Returns classes (n_test,) of a multinomial logistic regression, with its strength chosen on
    `val`."""
    train, val, test = _standardised(train, val, test)
    best: tuple[float, Any] | None = None
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence is not required: val chooses
            model = LogisticRegression(C=strength, max_iter=100).fit(train, labels)
        score = float((model.predict(val) == val_labels).mean())
        if best is None or score > best[0]:
            best = (score, model)
    assert best is not None
    return np.asarray(best[1].predict(test))


def nearest_neighbours(
    train: np.ndarray, labels: np.ndarray, val: np.ndarray, val_labels: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Returns classes (n_test,) by a vote of the 20 most similar training features (cosine),
    weighted by nearness."""
    train, test = _standardised(train, test)
    k = min(NEIGHBOURS, len(train))
    model = KNeighborsClassifier(n_neighbors=k, metric="cosine", weights="distance").fit(
        train, labels
    )
    return np.asarray(model.predict(test))


def linear_regression(
    train: np.ndarray, target: np.ndarray, val: np.ndarray, val_target: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Returns predictions (n_test, k) of a ridge regression, with its strength chosen by
    leave-one-out on the training features."""
    train, test = _standardised(train, test)
    return _two_dims(RidgeCV(alphas=np.logspace(-2, 5, 15)).fit(train, target).predict(test))


def mlp_regression(
    train: np.ndarray, target: np.ndarray, val: np.ndarray, val_target: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Returns predictions (n_test, k) of an MLP with a hidden layer of 256, stopped early on a
    tenth of the training features."""
    train, test = _standardised(train, test)
    scale = np.maximum(target.std(axis=0), 1e-9)
    model = MLPRegressor(
        hidden_layer_sizes=(256,),
        alpha=1e-3,
        max_iter=100,
        early_stopping=True,
        n_iter_no_change=10,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train, (target / scale)[:, 0] if target.shape[1] == 1 else target / scale)
    return _two_dims(model.predict(test)) * scale


CLASSIFIERS: dict[str, Fit] = {"linear": linear_classifier, "knn": nearest_neighbours}
REGRESSIONS: dict[str, Fit] = {"linear": linear_regression, "mlp": mlp_regression}


def _standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = train.mean(axis=0), train.std(axis=0)
    if train.dtype != np.float64 and not np.isfinite(std).all():  # the squares overflow
        return _standardised(*(x.astype(np.float64) for x in (train, *others)))
    # a feature that varies by no more than float32 rounding is a constant
    std = np.where(std > 1e-5 * np.abs(mean) + 1e-30, std, 1.0)
    return [(x - mean) / std for x in (train, *others)]


def _two_dims(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return values[:, None] if values.ndim == 1 else values
