"""Quantizer: what all codebooks share: the mask, the statistics of an optimiser step, and revival.
Quantizer: what all codebooks share: the mask, the statistics of an optimiser step, and revival."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jepa_lab.losses.rows import at_least_float32
from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.vq.distributed import gathered, summed, world_size
from jepa_lab.networks.vq.maths import code_statistics
from jepa_lab.networks.vq.start import spaced

MAX_TOKENS = 8192  # of a step that are kept for revival, on each rank
COUNT_DECAY = 0.99  # of the counts of codes where nothing else says so


class Quantized(NamedTuple):
    """z (..., d): the codes of x, 0 where masked. codes (...) int64, -1 where masked. loss: see the
    quantizer."""

    z: Tensor
    codes: Tensor
    loss: LossTerms


class Quantizer(nn.Module):
    """`quantizer(x (..., d), mask (...) bool, collect=False) -> Quantized`, mask True where there
    is a token.

    Float32 or better inside, outside autocast; z has the dtype of x. Masked places get zeros back
    and take part in no loss and, unless `count_padding`, in no statistic. The statistics of
    training forwards with `collect` (the clean context pass, once a batch) are added up, and
    `update` applies them once per optimiser step, summed over ranks; `forget` drops them, for a
    step that is left out; `end_step(skipped)` is the one or the other. With update "forward" every
    training forward is counted, whatever `collect` says. In evaluation mode nothing changes,
    whatever the options (the public ARC code kept training its codebook on validation batches, as
    it validated in training mode).

    Buffers: counts (K,), the moving average of members a step; age (K,) int64, optimiser steps
    since a code was last used; forwards, the training forwards counted so far. `tokens` of the last
    step are no part of a checkpoint: revival follows the update within one step. Deepcopy safe.
    ValueError for shapes that do not fit.
    """

    counts: Tensor
    age: Tensor
    forwards: Tensor
    revivable = True

    def __init__(
        self,
        dim: int,
        size: int,
        *,
        update: str = "step",
        count_padding: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        if dim < 1 or size < 1:
            raise ValueError(
                f"a codebook needs at least one code of one dimension, got size {size} and dim"
                f" {dim}"
            )
        if update not in ("step", "forward"):
            raise ValueError(f"update must be step or forward, got {update!r}")
        self.dim = dim
        self.size = size
        self.update_at = update
        self.count_padding = count_padding
        self.seed = seed
        self.share = True  # whether the target branch uses this codebook: see for_target
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("age", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("forwards", torch.zeros((), dtype=torch.int64))
        # no buffers: FiniteGuard puts buffers back, and would revive what `forget` has dropped
        self._pending: tuple[Tensor, Tensor] | None = None
        self._collected: list[Tensor] = []
        self._tokens: Tensor | None = None

    @property
    def codebook(self) -> Tensor:
        """(K, d): the vectors that z is made of."""
        raise NotImplementedError

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, LossTerms]:
        """(n, d) live tokens, n >= 0 -> z (n, d), codes (n,), loss."""
        raise NotImplementedError

    def assign(self, x: Tensor) -> Tensor:
        """(n, d) -> (n,) int64, the code of each row as in evaluation; changes nothing."""
        raise NotImplementedError

    def apply_statistics(self, counts: Tensor, sums: Tensor) -> None:
        """Takes in counts (K,) and sums (K, d) of one step or forward, summed over ranks."""
        self.counts.lerp_(counts, 1.0 - COUNT_DECAY)

    def begin(self, x: Tensor) -> None:
        """Sees the (n, d) live tokens of every training forward before they are quantised."""

    def set_progress(self, share: float) -> None:
        """The share of the run that is done, in [0, 1], for what is scheduled by it."""

    def forward(self, x: Tensor, mask: Tensor, *, collect: bool = False) -> Quantized:
        if x.shape[:-1] != mask.shape or x.shape[-1] != self.dim or mask.dtype != torch.bool:
            raise ValueError(
                f"expected x (..., {self.dim}) and a bool mask (...), got {tuple(x.shape)} and"
                f" {tuple(mask.shape)} {mask.dtype}"
            )
        with torch.autocast(x.device.type, enabled=False):
            live = at_least_float32(x[mask])
            if self.training:
                self.begin(live.detach())
            z_live, codes_live, loss = self.quantize(live)
            if self.training and (collect or self.update_at == "forward"):
                self._record(live.detach(), codes_live, at_least_float32(x[~mask].detach()))
        z = x.new_zeros(x.shape).masked_scatter(mask.unsqueeze(-1), z_live.to(x.dtype))
        codes = torch.full(mask.shape, -1, dtype=torch.int64, device=x.device).masked_scatter(
            mask, codes_live
        )
        return Quantized(z, codes, loss)

    @torch.no_grad()
    def _record(self, live: Tensor, codes: Tensor, padding: Tensor) -> None:
        if self.count_padding and len(padding):
            live, codes = torch.cat([live, padding]), torch.cat([codes, self.assign(padding)])
        counts, sums = code_statistics(live.to(self.counts.dtype), codes, self.size)
        self.forwards += 1
        if self.update_at == "forward":
            self._take_in(summed(counts), summed(sums))
        before = self._pending
        self._pending = (counts, sums) if before is None else (before[0] + counts, before[1] + sums)
        self._collected.append(spaced(live, MAX_TOKENS))

    @torch.no_grad()
    def update(self) -> None:
        """Once per optimiser step: the statistics since the last update move counts, codes and
        ages. Nothing where none were collected, nor, of counts and codes, where they are not
        finite."""
        if self._pending is None:
            return
        counts, sums = (summed(part) for part in self._pending)
        if self.update_at == "step":
            self._take_in(counts, sums)
        self.age.copy_(torch.where(counts > 0, 0, self.age + 1))
        self._tokens = spaced(torch.cat(self._collected), MAX_TOKENS)
        self.forget()

    def forget(self) -> None:
        """Drops the statistics since the last update, as for a step that is left out."""
        self._pending, self._collected = None, []

    def end_step(self, skipped: bool = False) -> None:
        """`update`, or for a skipped step `forget`."""
        self.forget() if skipped else self.update()

    def _take_in(self, counts: Tensor, sums: Tensor) -> None:
        if bool(torch.isfinite(sums).all()):
            self.apply_statistics(counts, sums)

    def live_tokens(self, n: int) -> Tensor:
        """(<= n, d): counted tokens of the last optimiser step, of all ranks, evenly spaced; (0, d)
        before the first step. A collective call under torch.distributed."""
        tokens = self._tokens if self._tokens is not None else self.counts.new_zeros(0, self.dim)
        return spaced(gathered(tokens), n)

    @torch.no_grad()
    def revive(
        self, codes: Tensor, vectors: Tensor, counts: Tensor, sums: Tensor | None = None
    ) -> None:
        """Gives the (m,) codes new (m, d) vectors and (m,) counts; sums (m, d) are vectors * counts
        unless given, so that the next update starts from the same vectors. Ages begin anew.
        ValueError where codes cannot be set."""
        if not self.revivable:
            raise ValueError(f"{type(self).__name__} has no codes that could be revived")
        self.codebook[codes] = vectors.to(self.codebook.dtype)
        self.counts[codes] = counts.to(self.counts.dtype)
        self.age[codes] = 0

    def for_target(self) -> Quantizer:
        """The quantizer of the target branch: this one where it is shared, else a frozen-weight
        copy with statistics of its own (two codebooks that drift apart: the published behaviour).
        """
        return self if self.share else copy.deepcopy(self).requires_grad_(False)

    def tokens_in_all(self, n: int) -> float:
        """The mean over ranks of the n tokens of this one: divided by it, a sum over tokens is the
        mean over all ranks' tokens once gradients are averaged. At least 1."""
        if not self.training or world_size() == 1:
            return max(float(n), 1.0)
        return max(
            float(summed(torch.tensor(float(n), device=self.counts.device))) / world_size(), 1.0
        )
