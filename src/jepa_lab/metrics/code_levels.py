"""Use of the codebooks of a quantiser with several levels, as residual and product quantisers have,
from the indices of the chosen codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.metrics.codebook import perplexity

LEFT_OUT = -1  # the index where a level has no code, as with quantise-dropout


@dataclass(frozen=True)
class LevelUse:
    """How the indices of one level use its codebook.

    - n: indices, without those left out
    - used: distinct codes among them
    - perplexity: of their counts, in [1, used]
    - richness: estimate of the codes that more indices would show, at least `used`
    - largest: index
    """

    n: int
    used: int
    perplexity: float
    richness: float
    largest: int

    @property
    def contiguous(self) -> bool:
        """Whether every code up to the largest index is used."""
        return self.used == self.largest + 1


def level_use(codes: Tensor) -> LevelUse | None:
    """Returns the use of a codebook by indices of any shape. An index of -1 is no code. It returns
    None if no other index is left. Raises ValueError for indices that are not whole numbers from
    -1."""
    codes = codes.detach().flatten()
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise ValueError(f"code indices must be integers, got {codes.dtype}")
    if len(codes) and int(codes.min()) < LEFT_OUT:
        raise ValueError(f"code indices must be 0 or more, or -1, got {int(codes.min())}")
    distinct, counts = codes[codes != LEFT_OUT].unique(return_counts=True)
    if not len(distinct):
        return None
    return LevelUse(
        int(counts.sum()),
        len(distinct),
        float(perplexity(counts)),
        chao1(counts),
        int(distinct[-1]),
    )


def chao1(counts: Tensor) -> float:
    """Returns the bias-corrected Chao1 estimate of the number of codes in use, from the counts
    (K,) of a sample (Chao 1984). It is the number of codes seen, plus f1 (f1 - 1) / (2 (f2 + 1)),
    with f1 codes seen once and f2 codes seen twice. A sample in which no code is seen once
    is complete."""
    seen = counts[counts > 0]
    once, twice = float((seen == 1).sum()), float((seen == 2).sum())
    return len(seen) + once * (once - 1) / (2 * (twice + 1))
