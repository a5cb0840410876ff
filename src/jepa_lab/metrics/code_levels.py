"""Use of the codebooks of a quantiser with several levels, as residual and product quantisers have,
from the indices of the chosen codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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


class PlaceUse(NamedTuple):
    """The codes at a place over the images. `other` is the share that differs from the most
    frequent code of its place, 0 if the place alone gives the code. `usual` is the number of
    distinct codes that are the most frequent one of some place."""

    other: float
    usual: int


def place_use(codes: Tensor, least: int) -> PlaceUse | None:
    """Returns the use of the places by indices (n, v) of n images and v places. An index of -1 is
    no code. Places with fewer than `least` codes are left out. It returns None for one place, or if
    none is left. Raises ValueError for another shape."""
    if codes.ndim != 2:
        raise ValueError(f"expected codes (n, v), got {tuple(codes.shape)}")
    place = torch.arange(codes.shape[1], device=codes.device).expand_as(codes)
    chosen = codes != LEFT_OUT
    enough = chosen.sum(dim=0) >= max(least, 1)
    chosen = chosen & enough
    if int(enough.sum()) < 2:
        return None
    names, code = codes[chosen].unique(return_inverse=True)
    pairs, counts = (place[chosen] * len(names) + code).unique(return_counts=True)
    of_place = pairs // len(names)
    most = counts.new_zeros(codes.shape[1]).scatter_reduce(0, of_place, counts, "amax")
    usual = pairs[counts == most[of_place]] % len(names)
    return PlaceUse(1.0 - int(most.sum()) / int(counts.sum()), len(usual.unique()))
