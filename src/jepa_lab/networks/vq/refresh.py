"""Revival of dead codes: rules that find them, and new vectors with consistent statistics."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from jepa_lab.networks.vq.base import MAX_TOKENS, Quantizer
from jepa_lab.networks.vq.maths import squared_distances

NOISE = 0.01  # share of the tokens' spread, the noise on the token that a code is set to


class Revival(NamedTuple):
    """The codes (m,) that were revived, and their vectors (m, d) before and after."""

    codes: Tensor
    before: Tensor
    after: Tensor


def rarely_used(counts: Tensor, threshold: float) -> Tensor:
    """Returns the indices of the (K,) counts whose share is below threshold / K, the least used
    first. All indices are returned if all counts are 0.

    The threshold is relative to uniform use, so that it means the same for every K. Raises
    ValueError unless 0 < threshold < 1: at 1 a code in uniform use would be dead.
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(
            f"a threshold relative to uniform use must lie between 0 and 1, got {threshold}"
        )
    shares = counts / counts.sum().clamp_min(torch.finfo(counts.dtype).tiny)
    order = shares.argsort(stable=True)
    return order[shares[order] < threshold / len(counts)]


def long_unused(age: Tensor, after: int) -> Tensor:
    """Returns the indices of the (K,) ages of at least `after` optimiser steps, the oldest
    first."""
    order = age.argsort(descending=True, stable=True)
    return order[age[order] >= after]


def small_mass(counts: Tensor, threshold: float) -> Tensor:
    """Returns the indices of the (K,) counts whose share of the total is at most the threshold, in
    ascending order. This is the published rule. A threshold of 1/K or more makes codes in uniform
    use dead."""
    shares = counts / counts.sum().clamp_min(torch.finfo(counts.dtype).tiny)
    return torch.nonzero(shares <= threshold).flatten()


@torch.no_grad()
def revive_at_tokens(
    quantizer: Quantizer, codes: Tensor, live: Tensor, source: torch.Generator
) -> Revival | None:
    """Sets the (m,) codes to random tokens of the last step, plus noise of 1% of the tokens'
    spread. Returns None without tokens.

    `live` (K,) bool marks the codes that are not dead. Each revived code gets the mean count of the
    live codes (1 if there are none), so that it is not dead at once and not heavier than a live
    code. Its sum is consistent with its count, so that the next update keeps its length.
    """
    tokens = quantizer.live_tokens(MAX_TOKENS)
    if not len(tokens) or not bool(torch.isfinite(tokens).all()):
        return None
    order = torch.randperm(len(tokens), generator=source).to(tokens.device)
    noise = torch.randn(len(codes), quantizer.dim, generator=source).to(tokens)
    spread = (tokens - tokens.mean(dim=0)).square().mean().sqrt()
    vectors = (
        tokens[order[torch.arange(len(codes), device=tokens.device) % len(tokens)]]
        + NOISE * spread * noise
    )
    counts = quantizer.counts[live]
    count = float(counts.mean()) if len(counts) else 0.0
    before = quantizer.codebook[codes].clone()
    quantizer.revive(codes, vectors, torch.full_like(vectors[:, 0], count if count > 0.0 else 1.0))
    return Revival(codes, before, quantizer.codebook[codes].clone())


@torch.no_grad()
def overwrite_as_published(quantizer: Quantizer, codes: Tensor) -> Revival | None:
    """Sets the (m,) codes to the tokens with the largest quantisation errors, in turn. Returns None
    without tokens.

    The count becomes the mean count, at least 1, but the sum becomes the vector itself. The next
    update therefore divides the vector by about that count: the published inconsistency.
    """
    tokens = quantizer.live_tokens(MAX_TOKENS)
    if not len(tokens):
        return None
    errors = squared_distances(tokens, quantizer.codebook.to(tokens.dtype)).amin(dim=1)
    worst = errors.argsort(descending=True, stable=True)
    vectors = tokens[worst[torch.arange(len(codes), device=tokens.device) % len(tokens)]]
    count = max(1.0, float(quantizer.counts.mean()))
    before = quantizer.codebook[codes].clone()
    quantizer.revive(codes, vectors, torch.full_like(vectors[:, 0], count), sums=vectors)
    return Revival(codes, before, quantizer.codebook[codes].clone())
