"""Nearest neighbours of rows, and how well their labels agree beyond chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.metrics.scale import centred, check_features, unit_rows


@dataclass(frozen=True)
class Agreement:
    """How often a row and its nearest neighbour have the same label.

    `accuracy` is that share, `chance` that of a random other row, `above_chance` = (accuracy -
    chance) / (1 - chance), which is 1 if every row agrees and 0 at chance, however unequal the
    classes are. `error` is the standard error of `above_chance` at chance. `n` is the number of
    rows, `classes` that of the classes of at least 10 rows, and `lost` the number of these whose
    rows agree no more often than by chance and two standard errors.
    """

    accuracy: float
    chance: float
    above_chance: float
    error: float
    n: int
    classes: int
    lost: int


def nearest(z: Tensor) -> Tensor:
    """Returns the index of the nearest other row by cosine on centred rows of (n, d), (n,) int64.
    All pairs are compared. Raises ValueError for n < 2 or values that are not finite."""
    x = unit_rows(centred(check_features(z)))
    return (x @ x.T).fill_diagonal_(-math.inf).argmax(dim=1)


def nearest_by_distance(z: Tensor) -> Tensor:
    """Returns the index of the nearest other row by Euclidean distance, (n,) int64. It tells apart
    what lies on a line, where a cosine has two values."""
    x = centred(check_features(z))
    squares = x.square().sum(dim=1)
    return (2.0 * x @ x.T - squares).fill_diagonal_(-math.inf).argmax(dim=1)


def agreement(labels: Tensor, neighbour: Tensor) -> Agreement | None:
    """Returns the agreement of labels (n,) int64 with those of the rows' neighbours (n,). Returns
    None if all labels are equal, or if no two rows share one."""
    values, y = torch.unique(labels, return_inverse=True)
    counts = torch.bincount(y).double()
    n = len(y)
    chance = float((counts * (counts - 1)).sum()) / (n * (n - 1)) if n > 1 else 0.0
    if len(values) < 2 or chance <= 0:
        return None
    same = (y[neighbour] == y).double()
    recall = torch.zeros_like(counts).index_add_(0, y, same) / counts
    by_chance = (counts - 1) / (n - 1)
    error = (by_chance * (1 - by_chance) / counts).sqrt()
    enough = counts >= 10
    lost = enough & (recall <= by_chance + 2 * error)
    accuracy = float(same.mean())
    return Agreement(
        accuracy,
        chance,
        (accuracy - chance) / (1 - chance),
        math.sqrt(chance / ((1 - chance) * n)),
        n,
        int(enough.sum()),
        int(lost.sum()),
    )
