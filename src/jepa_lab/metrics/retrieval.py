"""Retrieval: the rank of the true target among targets of other tasks, by cosine similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CANDIDATES = 100  # number of targets of other tasks that the true target is ranked among
# The seed of the candidates. They are the same at every validation and for every model.
SEED = 0
TIE = 1e-9  # largest difference of two scores that count as equal


def candidates(tasks: Tensor, number: int = CANDIDATES, seed: int = SEED) -> Tensor:
    """Maps tasks (n,) int64 to (n, m) int64: for every row, m rows of other tasks.

    m is `number`, or the smallest number of rows of other tasks that any row has. Rows are drawn
    without replacement, from `seed` alone. Raises ValueError if a row has no row of another task.
    """
    if tasks.ndim != 1 or not len(tasks):
        raise ValueError(f"expected tasks (n,), n >= 1, got {tuple(tasks.shape)}")
    other = (tasks.unsqueeze(1) != tasks).cpu()
    m = min(number, int(other.sum(dim=1).min()))
    if m == 0:
        raise ValueError("all rows belong to one task: no targets of other tasks to rank among")
    keys = torch.rand(other.shape, generator=torch.Generator().manual_seed(seed)).masked_fill(
        ~other, 2.0
    )
    return keys.argsort(dim=1)[:, :m]


def ranks(query: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """Returns the rank of each row's own target among m others, by cosine to the query, as (n,)
    float64 in [1, m + 1].

    query and target are (n, d), rows (n, m) comes from `candidates`. Targets of the same cosine
    share their mean rank, so that a constant output gains nothing. The rank is NaN where a cosine
    is not finite. Raises ValueError for unequal shapes.
    """
    if query.shape != target.shape or len(rows) != len(query):
        raise ValueError(
            f"expected query and target of one shape, got {tuple(query.shape)} and"
            f" {tuple(target.shape)}"
        )
    q, t = (F.normalize(x.detach().double().cpu(), dim=1) for x in (query, target))
    cosine = q @ t.T
    return ranks_of_scores(cosine.diagonal(), cosine.gather(1, rows))


def ranks_of_scores(own: Tensor, others: Tensor) -> Tensor:
    """Returns the rank of each row's own score (n,) among the scores (n, m) of other answers, as
    (n,) float64 in [1, m + 1]. A higher score is better, and equal scores share their mean rank. A
    row with a score that is not finite, as that of a diverged network, has rank NaN."""
    own = own.unsqueeze(1)
    same = (others - own).abs() <= TIE
    rank = 1.0 + ((others > own) & ~same).sum(dim=1).double() + 0.5 * same.sum(dim=1)
    finite = torch.isfinite(torch.cat([own, others], dim=1)).all(dim=1)
    return rank.masked_fill(~finite, torch.nan)


def retrieval(query: Tensor, target: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """Returns {top1, mrr} of `ranks`, see `rank_values`."""
    return rank_values(ranks(query, target, rows))


def rank_values(places: Tensor) -> dict[str, Tensor]:
    """Returns {top1, mrr} of ranks (n,), 0-d float64.

    top1 is the share of first ranks, where a shared first rank does not count. mrr is the mean of 1
    / rank. By chance top1 is 1 / (m + 1), and mrr is the harmonic number of m + 1 over m + 1. Both
    are NaN if a rank is.
    """
    first = (places == 1.0).double().masked_fill(places.isnan(), torch.nan)
    return {"top1": first.mean(), "mrr": places.reciprocal().mean()}
