"""Pure functions for codebooks: distances, statistics of a batch, moving averages."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.devices import reads_are_free

PUBLISHED_EPSILON = 1e-5


def squared_distances(x: Tensor, codebook: Tensor) -> Tensor:
    """Maps x (n, d) and a codebook (K, d) to (n, K): |x|^2 - 2 x.e + |e|^2, at least 0.

    One matrix product replaces (n, K, d) differences. In float32 the absolute error is about 1e-7
    (|x|^2 + |e|^2), so codes whose squared distances from x differ by less may change places.
    Float64 input stays float64.
    """
    if x.ndim != 2 or codebook.ndim != 2 or x.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"expected (n, d) and (K, d), got {tuple(x.shape)} and {tuple(codebook.shape)}"
        )
    squares = x.square().sum(dim=1, keepdim=True) + codebook.square().sum(dim=1)
    return torch.addmm(squares, x, codebook.T, alpha=-2.0).clamp_min(0.0)


def nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """Returns (n,) int64, the nearest of the (K, d) codes to each of the (n, d) rows, the first of
    equal ones, without gradient.

    |x|^2 is the same for all codes and left out. The precision is that of squared_distances.
    """
    if x.ndim != 2 or codebook.ndim != 2 or x.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"expected (n, d) and (K, d), got {tuple(x.shape)} and {tuple(codebook.shape)}"
        )
    x, codebook = x.detach(), codebook.detach()
    return torch.addmm(codebook.square().sum(dim=1), x, codebook.T, alpha=-2.0).argmin(dim=1)


def straight_through(x: Tensor, quantised: Tensor) -> Tensor:
    """Returns exactly `quantised`, with the identity as its gradient to x (Bengio et al. 2013)."""
    return quantised.detach() + (x - x.detach())


def code_counts(codes: Tensor, size: int) -> Tensor:
    """Returns the number (size,) int64 of each of `size` codes among (n,) codes."""
    if reads_are_free(codes):
        return torch.bincount(codes, minlength=size)
    # bincount would ask for the largest code
    return codes.new_zeros(size).index_add_(0, codes, torch.ones_like(codes))


def code_statistics(x: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Returns counts (K,) and sums (K, d) of the (n, d) rows assigned to each of `size` codes,
    without gradient."""
    counts = code_counts(codes, size).to(x.dtype)
    return counts, x.new_zeros(size, x.shape[1]).index_add_(0, codes, x.detach())


def averaged(
    codebook: Tensor,
    counts: Tensor,
    sums: Tensor,
    new_counts: Tensor,
    new_sums: Tensor,
    decay: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (codebook (K, d), counts (K,), sums (K, d)) after one step of moving averages (van
    den Oord et al. 2017, appendix A.1).

    A code is its sum / its count. A code with members in this step has a count of at least 1 -
    decay, so no smoothing is needed, and the code is a weighted mean of its members. A code without
    members keeps its vector exactly, and its count and sum decay together.
    """
    counts = decay * counts + (1.0 - decay) * new_counts
    sums = decay * sums + (1.0 - decay) * new_sums
    used = (new_counts > 0).unsqueeze(1)
    safe = torch.where(new_counts > 0, counts, torch.ones_like(counts)).unsqueeze(1)
    return torch.where(used, sums / safe, codebook), counts, sums


def averaged_as_published(
    counts: Tensor, sums: Tensor, new_counts: Tensor, new_sums: Tensor, decay: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the result of `averaged` by the formula of the public ARC code: e = m / [(n + eps) /
    (N + K eps) N], N = sum of n, eps 1e-5.

    From n = 0 and m = e, a code without members in the first step grows by about decay / eps. A
    code that loses its members shrinks to the origin as soon as n is comparable to eps.
    """
    counts = decay * counts + (1.0 - decay) * new_counts
    sums = decay * sums + (1.0 - decay) * new_sums
    total = counts.sum()
    smoothed = (counts + PUBLISHED_EPSILON) / (total + len(counts) * PUBLISHED_EPSILON) * total
    return sums / smoothed.unsqueeze(1), counts, sums


def usage_deficit(probabilities: Tensor) -> Tensor:
    """Returns ln K - H(mean of the (n, K) rows) in nats, in [0, ln K], differentiable. It is 0
    where all codes are used equally."""
    if probabilities.ndim != 2 or not len(probabilities):
        raise ValueError(f"expected probabilities (n, K), n >= 1, got {tuple(probabilities.shape)}")
    mean = probabilities.mean(dim=0)
    uniform = torch.log(mean.new_full((), len(mean)))
    return uniform - torch.special.entr(mean).sum()
