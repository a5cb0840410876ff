"""How a codebook is used, from how often each of its K codes was chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.spectrum import exp_entropy


def perplexity(counts: Tensor) -> Tensor:
    """exp of the entropy of (K,) counts, in [1, K]: the number of codes in even use. 1 where nothing was counted."""
    return exp_entropy(_counts(counts))


def usage(counts: Tensor) -> Tensor:
    """Share of the (K,) codes that were chosen at least once, in [0, 1]."""
    return (_counts(counts) > 0).to(torch.float64).mean()


def _counts(counts: Tensor) -> Tensor:
    if counts.ndim != 1 or len(counts) < 1:
        raise ValueError(f"expected (K,) counts, got {tuple(counts.shape)}")
    counts = counts.detach()
    counts = (counts.cpu() if counts.device.type == "mps" else counts).double()
    if not bool(((counts >= 0) & torch.isfinite(counts)).all()):
        raise ValueError("counts must be finite and not negative")
    return counts
