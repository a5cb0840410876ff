"""Retrieval: is the true target nearer to the prediction than targets of other tasks?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CANDIDATES = 100  # targets of other tasks that the true one is ranked among
SEED = 0  # of the candidates: the same at every validation, and for every model on the same rows


def candidates(tasks: Tensor, number: int = CANDIDATES, seed: int = SEED) -> Tensor:
    """tasks (n,) int64 -> (n, m) int64: for every row m rows of other tasks, m = `number`, or as
    many as the row with the fewest has. Drawn without replacement from `seed` alone. ValueError
    where a row has no row of another task."""
    if tasks.ndim != 1 or not len(tasks):
        raise ValueError(f"expected tasks (n,), n >= 1, got {tuple(tasks.shape)}")
    other = (tasks.unsqueeze(1) != tasks).cpu()
    m = min(number, int(other.sum(dim=1).min()))
    if m == 0:
        raise ValueError("all rows are of one task: there is nothing to rank the true target among")
    keys = torch.rand(other.shape, generator=torch.Generator().manual_seed(seed)).masked_fill(
        ~other, 2.0
    )
    return keys.argsort(dim=1)[:, :m]


def ranks(query: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """query, target (n, d), rows (n, m) from `candidates` -> (n,) float64 in [1, m + 1]: the place
    of a row's own target by cosine among the m others; the mean place of those of the same cosine,
    so that equal vectors win nothing.

    ValueError for unequal shapes.
    """
    if query.shape != target.shape or len(rows) != len(query):
        raise ValueError(
            f"expected query and target of one shape, got {tuple(query.shape)} and"
            f" {tuple(target.shape)}"
        )
    q, t = (F.normalize(x.detach().double().cpu(), dim=1) for x in (query, target))
    cosine = q @ t.T
    own = cosine.diagonal().unsqueeze(1)
    others = cosine.gather(1, rows)
    same = (others - own).abs() <= 1e-9
    return 1.0 + ((others > own) & ~same).sum(dim=1).double() + 0.5 * same.sum(dim=1)


def retrieval(query: Tensor, target: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """{top1, mrr} of `ranks`: the share of first places (a place that is shared counts for none),
    and the mean of 1 / place; 0-d float64. By chance 1 / (m + 1), and the harmonic number of m + 1
    over m + 1."""
    places = ranks(query, target, rows)
    return {"top1": (places == 1.0).double().mean(), "mrr": places.reciprocal().mean()}
