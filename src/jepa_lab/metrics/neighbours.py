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
    rows agree no more often than by chance and two standard errors. `lag` is the number of rows
    before and after a row that are not read as its neighbours.
    """

    accuracy: float
    chance: float
    above_chance: float
    error: float
    n: int
    classes: int
    lost: int
    lag: int = 0


def nearest(z: Tensor, lag: int = 0) -> Tensor:
    """Returns the index of the nearest other row by cosine on centred rows of (n, d), (n,) int64.
    Rows up to `lag` rows before or after a row are passed over; at most n / 2 - 1. All pairs are
    compared. Raises ValueError for n < 2 or values that are not finite."""
    x = unit_rows(centred(check_features(z)))
    return _best(x @ x.T, lag)


def nearest_by_distance(z: Tensor, lag: int = 0) -> Tensor:
    """Returns the index of the nearest other row by Euclidean distance, (n,) int64. It tells apart
    what lies on a line, where a cosine has two values."""
    x = centred(check_features(z))
    return _best(2.0 * x @ x.T - x.square().sum(dim=1), lag)


def _best(similar: Tensor, lag: int) -> Tensor:
    return similar.masked_fill_(_rows_apart(len(similar), similar.device) <= lag, -math.inf).argmax(
        dim=1
    )


def adjacent_share(neighbour: Tensor, lag: int = 0) -> float:
    """Returns the share of the rows whose neighbour (n,) is hardly more than `lag` rows away: from
    lag + 1 to 1.25 lag + 1. With lag 0 it is the row before or after."""
    apart = (torch.arange(len(neighbour), device=neighbour.device) - neighbour).abs()
    return float(_hardly_beyond(apart, lag).double().mean())


def linked_share(labels: Tensor, neighbour: Tensor, lag: int = 0) -> float:
    """Returns how far `adjacent_share` exceeds its value by chance, as a share of what chance
    leaves: 1 if every neighbour is that close, about 0 for shuffled rows.

    By chance the neighbour is a random row more than `lag` rows away: of the same label if that of
    the neighbour (n,) is the same, of another label otherwise. Rows sorted by `labels` (n,) are
    therefore at 0 too.
    """
    apart = _rows_apart(len(labels), labels.device)
    allowed, close = apart > lag, _hardly_beyond(apart, lag)
    like = (labels[:, None] == labels) == (labels == labels[neighbour])[:, None]
    some = (allowed & like).sum(dim=1)
    by_chance = float(((close & like).sum(dim=1) / some.clamp_min(1)).mean())
    left = 1.0 - by_chance
    return (adjacent_share(neighbour, lag) - by_chance) / left if left > 1e-9 else 0.0


def agreement(labels: Tensor, neighbour: Tensor, lag: int = 0) -> Agreement | None:
    """Returns the agreement of labels (n,) int64 with those of the rows' neighbours (n,). Chance is
    that of a random row more than `lag` rows away, and of lag + 1 rows in sequence one counts for
    the standard errors. Returns None if all labels are equal, or if no
    two such rows share one."""
    values, y = torch.unique(labels, return_inverse=True)
    counts = torch.bincount(y).double()
    n = len(y)
    if n < 2 or len(values) < 2:
        return None
    at_chance = ((counts - 1) / (n - 1))[y]
    if lag > 0:
        allowed = _rows_apart(n, y.device) > lag
        at_chance = (allowed & (y[:, None] == y)).sum(dim=1) / allowed.sum(dim=1).double()
    chance = float(at_chance.mean())
    if chance <= 0:
        return None
    same = (y[neighbour] == y).double()
    recall = torch.zeros_like(counts).index_add_(0, y, same) / counts
    by_chance = torch.zeros_like(counts).index_add_(0, y, at_chance) / counts
    error = (by_chance * (1 - by_chance) * (lag + 1) / counts).sqrt()
    enough = counts >= 10
    lost = enough & (recall <= by_chance + 2 * error)
    accuracy = float(same.mean())
    return Agreement(
        accuracy,
        chance,
        (accuracy - chance) / (1 - chance),
        math.sqrt(chance * (lag + 1) / ((1 - chance) * n)),
        n,
        int(enough.sum()),
        int(lost.sum()),
        lag,
    )


def _hardly_beyond(apart: Tensor, lag: int) -> Tensor:
    return (apart > lag) & (apart <= lag + lag // 4 + 1)


def _rows_apart(n: int, device: torch.device) -> Tensor:
    index = torch.arange(n, device=device)
    return (index[:, None] - index).abs()
