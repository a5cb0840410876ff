"""InfoNCE (van den Oord et al. 2018, arXiv:1807.03748): classifies the positive of a query among
its negatives.

Negatives are the other positives of the batch and, as in MoCo (He et al. 2020, arXiv:1911.05722), a
queue of earlier ones. These are pure functions of one set of rows: with several ranks, rows and
their tasks are gathered first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses.rows import at_least_float32
from jepa_lab.losses.terms import LossTerms


def info_nce(
    query: Tensor,
    positive: Tensor,
    queue: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    in_batch: bool = True,
    exclude: Tensor | None = None,
) -> LossTerms:
    """Returns the mean of `info_nce_rows`, a scalar >= 0, also as its term info_nce."""
    loss = info_nce_rows(query, positive, queue, temperature, in_batch, exclude).mean()
    return LossTerms(loss, {"info_nce": loss})


def info_nce_rows(
    query: Tensor,
    positive: Tensor,
    queue: Tensor | None = None,
    temperature: float | Tensor = 0.1,
    in_batch: bool = True,
    exclude: Tensor | None = None,
) -> Tensor:
    """Returns -ln softmax of cosine / temperature at each query's own positive, (n,).

    query and positive are (n, d), queue is (m, d). The negatives are the other n - 1 positives (if
    `in_batch`) and the m rows of the queue, except where `exclude` (n, n + m) is True. The first
    diagonal of `exclude` is ignored, since a query's own positive always takes part. Rows are
    normalised here. Without a negative the loss and its gradient are 0. Computed in float32 or
    better, outside autocast. No gradient is stopped here: a caller detaches targets that must not
    learn. Raises ValueError for other shapes, n = 0, an `exclude` that is not bool, and a
    temperature <= 0 that is a number.
    """
    n, m = _sizes(query, positive, queue)
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"the temperature must be above 0, got {temperature}")
    keys = positive if queue is None else torch.cat([positive, queue.to(positive)])
    with torch.autocast(query.device.type, enabled=False):
        cosine = (
            F.normalize(at_least_float32(query), dim=1)
            @ F.normalize(at_least_float32(keys), dim=1).T
        )
        logits = cosine / temperature
        left_out = ~_is_negative(n, m, exclude, in_batch, query.device)
        left_out.diagonal().fill_(False)
        logits = logits.masked_fill(left_out, -torch.inf)
        return F.cross_entropy(logits, torch.arange(n, device=query.device), reduction="none")


def negatives(n: int, m: int = 0, exclude: Tensor | None = None, in_batch: bool = True) -> Tensor:
    """Returns the number of negatives of each of n queries, (n,) int64, for a queue of m rows."""
    return _is_negative(
        n, m, exclude, in_batch, exclude.device if exclude is not None else None
    ).sum(dim=1)


def chance(negatives: Tensor | float) -> Tensor:
    """Returns ln(1 + negatives), the loss of a model that cannot distinguish a positive from a
    negative.

    For a tensor of counts it is the mean over the entries. The result is a 0-d float64 tensor.
    """
    return torch.log1p(torch.as_tensor(negatives).cpu().double()).mean()


def same_task(tasks: Tensor, queue_tasks: Tensor | None = None) -> Tensor:
    """Maps tasks (n,) and queue_tasks (m,) to a bool mask (n, n + m), true for keys that have the
    query's own task.

    Passed as `exclude`, the mask removes all rows of a query's task from its negatives.
    """
    keys = tasks if queue_tasks is None else torch.cat([tasks, queue_tasks.to(tasks)])
    return tasks.unsqueeze(1) == keys


def _is_negative(
    n: int, m: int, exclude: Tensor | None, in_batch: bool, device: torch.device | None
) -> Tensor:
    """Returns a bool mask (n, n + m) of negatives. It is False on the first diagonal, the
    positives."""
    if exclude is not None and (exclude.shape != (n, n + m) or exclude.dtype != torch.bool):
        raise ValueError(
            f"exclude must be ({n}, {n + m}) bool, got {tuple(exclude.shape)} {exclude.dtype}"
        )
    kept = torch.ones(n, n + m, dtype=torch.bool, device=device) if exclude is None else ~exclude
    if not in_batch:
        kept[:, :n] = False
    kept.diagonal().fill_(False)
    return kept


def _sizes(query: Tensor, positive: Tensor, queue: Tensor | None) -> tuple[int, int]:
    if query.ndim != 2 or query.shape != positive.shape or not len(query):
        raise ValueError(
            f"expected two (n, d) tensors, n >= 1, got {tuple(query.shape)} and"
            f" {tuple(positive.shape)}"
        )
    if queue is not None and (queue.ndim != 2 or queue.shape[1] != query.shape[1]):
        raise ValueError(f"expected a queue of (m, {query.shape[1]}), got {tuple(queue.shape)}")
    return len(query), 0 if queue is None else len(queue)
