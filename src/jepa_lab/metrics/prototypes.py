"""Distributions over K prototypes, as in DINO: certainty, difference, and prototypes in use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor


def teacher_entropy(p: Array) -> Tensor:
    """Returns the mean entropy of rows of probabilities (n, K) in nats, in [0, ln K]: 0 for one-hot
    rows, ln K for uniform rows."""
    return torch.special.entr(_probabilities(p)).sum(dim=-1).mean()


def kl(p: Array, q: Array) -> Tensor:
    """Returns the mean KL(p | q) of paired rows (n, K) in nats, >= 0, and infinite where q is 0 and
    p is not.

    DINO's loss is this plus the teacher's entropy, and only this part can be learned. Raises
    ValueError for unequal shapes.
    """
    if p.shape != q.shape:
        raise ValueError(
            f"expected two (n, K) of one shape, got {tuple(p.shape)} and {tuple(q.shape)}"
        )
    p, q = _probabilities(p), _probabilities(q)
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=-1).mean().clamp_min(0.0)


def prototype_usage(p: Array) -> Tensor:
    """Returns the share of the K columns of (n, K) probabilities that are the largest of some row,
    in [1/K, min(n, K) / K]."""
    p = _probabilities(p)
    used = torch.zeros(p.shape[1], dtype=p.dtype, device=p.device)
    used[p.argmax(dim=-1)] = 1.0
    return used.mean()


def loss_over_ln_k(loss: Array | float, k: int) -> Tensor:
    """Returns a cross-entropy in nats / ln k: 1 for a student that is uniform. Raises ValueError
    for k < 2."""
    if k < 2:
        raise ValueError(f"k must be at least 2, got {k}")
    return torch.as_tensor(float(loss), dtype=torch.float64) / math.log(k)


def distribution_statistics(p: Array) -> dict[str, Tensor]:
    """Returns statistics of rows of probabilities (n, K): mean_entropy, entropy_of_mean,
    mutual_information (their difference), all in nats, and prototype_usage.

    The mutual information is 0 in both kinds of DINO's collapse, all rows uniform and all rows the
    same. It is ln K if the rows are certain and spread evenly. Raises ValueError for another rank.
    """
    statistics = Distributions()
    statistics.update(p)
    return statistics.values()


class Distributions:
    """Computes distribution_statistics of rows that arrive in batches, in memory that does not grow
    with their number."""

    def __init__(self) -> None:
        self.n = 0
        self._entropy: Tensor | None = None
        self._sum: Tensor | None = None
        self._used: Tensor | None = None

    def update(self, p: Array) -> None:
        """Adds rows of probabilities (n, K). Raises ValueError for another rank or K."""
        p = _probabilities(p)
        if self._sum is None or self._used is None or self._entropy is None:
            self._entropy, self._sum, self._used = (
                p.new_zeros(()),
                p.new_zeros(p.shape[1]),
                p.new_zeros(p.shape[1]),
            )
        if p.shape[1] != len(self._sum):
            raise ValueError(
                f"expected probabilities over {len(self._sum)} prototypes, got {tuple(p.shape)}"
            )
        self.n += len(p)
        self._entropy = self._entropy + torch.special.entr(p).sum()
        self._sum += p.sum(dim=0)
        self._used[p.argmax(dim=-1)] = 1.0

    def values(self) -> dict[str, Tensor]:
        """Returns the statistics by name. Raises ValueError before the first row."""
        if self._sum is None or self._used is None or self._entropy is None:
            raise ValueError("no rows were seen")
        entropy_of_mean = torch.special.entr(self._sum / self.n).sum()
        mean_entropy = self._entropy / self.n
        return {
            "mean_entropy": mean_entropy,
            "entropy_of_mean": entropy_of_mean,
            "mutual_information": entropy_of_mean - mean_entropy,
            "prototype_usage": self._used.mean(),
        }


def _probabilities(p: Array) -> Tensor:
    p = as_tensor(p)
    if p.ndim != 2 or len(p) < 1 or p.shape[1] < 1:
        raise ValueError(f"expected probabilities (n, K), got {tuple(p.shape)}")
    p = p.detach()
    return (p.cpu() if p.device.type == "mps" else p).double()
