"""Quantizer, the base of all codebooks: the mask, the statistics of an optimiser step, and
revival."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from jepa_lab.devices import reads_are_free
from jepa_lab.losses.rows import at_least_float32
from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.vq.maths import code_statistics
from jepa_lab.networks.vq.start import spaced
from jepa_lab.ranks import gathered, summed, world_size

MAX_TOKENS = 8192  # tokens of a step that each rank keeps for revival
COUNT_DECAY = 0.99  # default decay of the counts of codes


class Quantized(NamedTuple):
    """The output of a quantizer. `z` (..., d) holds the codes of x, 0 where masked. `codes` (...)
    int64 is -1 where masked. `loss` is described at each quantizer."""

    z: Tensor
    codes: Tensor
    loss: LossTerms


class Quantizer(nn.Module):
    """Maps x (..., d) and mask (...) bool, true where there is a token, to Quantized.

    `live` (m,) int64 are the numbers of the true places of the mask, for a caller that knows them:
    an accelerator would have to be asked. Computed in float32 or better, outside autocast; z has
    the dtype of x. Masked places get zeros and take part in no loss and, unless `count_padding`, in
    no statistic.

    Training forwards with `collect` (once per batch, for the context without augmentation) add to
    the statistics. `update` applies them once per optimiser step, summed over ranks. `forget` drops
    them if the step is skipped. `end_step(skipped)` calls one of the two. With update "forward"
    every training forward is counted, whatever `collect` is. In evaluation mode nothing changes.
    (The public ARC code validated in training mode, and so trained its codebook on validation
    batches.)

    Buffers: counts (K,) is the moving average of members per step. age (K,) int64 is the number of
    optimiser steps since a code was last used. forwards is the number of training forwards counted
    so far. Checkpoints do not contain the tokens of the last step, since revival follows the update
    within one step. Deep copies are safe. Raises ValueError for shapes that do not fit.
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
                f"a codebook needs size and dim of at least 1, got size {size} and dim {dim}"
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
        # Not buffers, since FiniteGuard restores buffers and would bring dropped statistics back.
        self._pending: tuple[Tensor, Tensor] | None = None
        self._collected: list[Tensor] = []
        self._tokens: Tensor | None = None
        self._known: dict[str, int] = {}  # values of buffers on an accelerator

    @property
    def codebook(self) -> Tensor:
        """The vectors (K, d) that z is made of."""
        raise NotImplementedError

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, LossTerms]:
        """Maps (n, d) live tokens, n >= 0, to z (n, d), codes (n,) and the loss."""
        raise NotImplementedError

    def assign(self, x: Tensor) -> Tensor:
        """Maps (n, d) to (n,) int64, the code of each row as in evaluation, without side
        effects."""
        raise NotImplementedError

    def apply_statistics(self, counts: Tensor, sums: Tensor) -> None:
        """Updates the codebook by counts (K,) and sums (K, d) of one step or forward, summed over
        ranks."""
        self.counts.lerp_(counts, 1.0 - COUNT_DECAY)

    def moving(self) -> list[Tensor]:
        """Returns the tensors that `apply_statistics` changes."""
        return [self.counts]

    def begin(self, x: Tensor) -> None:
        """Receives the (n, d) live tokens of every training forward before they are quantised."""

    def set_progress(self, share: float) -> None:
        """Receives the share of the run that is done, in [0, 1], for schedules."""

    def forward(
        self, x: Tensor, mask: Tensor, *, collect: bool = False, live: Tensor | None = None
    ) -> Quantized:
        if x.shape[:-1] != mask.shape or x.shape[-1] != self.dim or mask.dtype != torch.bool:
            raise ValueError(
                f"expected x (..., {self.dim}) and a bool mask (...), got {tuple(x.shape)} and"
                f" {tuple(mask.shape)} {mask.dtype}"
            )
        with torch.autocast(x.device.type, enabled=False):
            places = x.flatten(0, -2)
            if live is None:
                live = mask.flatten().nonzero().squeeze(1)
            tokens = at_least_float32(places.index_select(0, live))
            if self.training:
                self.begin(tokens.detach())
            z_live, codes_live, loss = self.quantize(tokens)
            if self.training and (collect or self.update_at == "forward"):
                self._record(
                    tokens.detach(), codes_live, self._padding(places.detach(), mask, live)
                )
        z = torch.zeros_like(places).index_copy(0, live, z_live.to(x.dtype)).view(x.shape)
        codes = torch.full_like(mask, -1, dtype=torch.int64).flatten()
        return Quantized(z, codes.index_copy(0, live, codes_live).view(mask.shape), loss)

    def _padding(self, places: Tensor, mask: Tensor, live: Tensor) -> Tensor:
        """Returns the rows (m, d) of the places without a token, none if they are not counted."""
        if not self.count_padding:
            return at_least_float32(places[:0])
        mask = mask.flatten()
        if reads_are_free(mask):
            return at_least_float32(places[~mask])
        # Sorted by the mask they come first. Their number is known without asking the device.
        first = mask.to(torch.uint8).argsort(stable=True)[: len(places) - len(live)]
        return at_least_float32(places.index_select(0, first))

    @torch.no_grad()
    def _record(self, live: Tensor, codes: Tensor, padding: Tensor) -> None:
        if self.count_padding and len(padding):
            live, codes = torch.cat([live, padding]), torch.cat([codes, self.assign(padding)])
        counts, sums = code_statistics(live.to(self.counts.dtype), codes, self.size)
        self.forwards += 1
        if "forwards" in self._known:
            self._known["forwards"] += 1
        if self.update_at == "forward":
            self._apply_if_finite(summed(counts), summed(sums))
        before = self._pending
        self._pending = (counts, sums) if before is None else (before[0] + counts, before[1] + sums)
        self._collected.append(spaced(live, MAX_TOKENS))

    @torch.no_grad()
    def update(self) -> None:
        """Updates counts, codes and ages by the statistics since the last update. Call it once per
        optimiser step.

        It does nothing without statistics. Counts and codes stay as they are if the sums are not
        finite.
        """
        if self._pending is None:
            return
        counts, sums = (summed(part) for part in self._pending)
        if self.update_at == "step":
            self._apply_if_finite(counts, sums)
        self.age.copy_(torch.where(counts > 0, 0, self.age + 1))
        self._tokens = spaced(torch.cat(self._collected), MAX_TOKENS)
        self.forget()

    def forget(self) -> None:
        """Drops the statistics since the last update, for a skipped step."""
        self._pending, self._collected = None, []

    def end_step(self, skipped: bool = False) -> None:
        """Calls `update`, or `forget` for a skipped step, after which buffers may be restored."""
        if skipped:
            self.forget()
            self._known.clear()
        else:
            self.update()

    def on_host(self, name: str) -> int:
        """Returns the value of the buffer `forwards` or `initialized`. From an accelerator it is
        read only if it is not known."""
        buffer: Tensor = getattr(self, name)
        if reads_are_free(buffer):
            return int(buffer)
        if name not in self._known:
            self._known[name] = int(buffer)
        return self._known[name]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._known.clear()

    def _apply_if_finite(self, counts: Tensor, sums: Tensor) -> None:
        if reads_are_free(sums):
            if bool(torch.isfinite(sums).all()):
                self.apply_statistics(counts, sums)
            return
        before = [state.clone() for state in self.moving()]
        self.apply_statistics(counts, sums)
        finite = torch.isfinite(sums).all()
        for state, kept in zip(self.moving(), before, strict=True):
            state.copy_(torch.where(finite, state, kept))

    def live_tokens(self, n: int) -> Tensor:
        """Returns at most n counted tokens (<= n, d) of the last optimiser step, of all ranks,
        evenly spaced.

        It is (0, d) before the first step. It is a collective call under torch.distributed.
        """
        tokens = self._tokens if self._tokens is not None else self.counts.new_zeros(0, self.dim)
        return spaced(gathered(tokens), n)

    @torch.no_grad()
    def revive(
        self, codes: Tensor, vectors: Tensor, counts: Tensor, sums: Tensor | None = None
    ) -> None:
        """Gives the (m,) codes new (m, d) vectors and (m,) counts, and resets their ages.

        sums (m, d) are vectors * counts by default, so that the next update starts from the same
        vectors. Raises ValueError if the quantizer's codes cannot be set.
        """
        if not self.revivable:
            raise ValueError(f"{type(self).__name__} has no codes that could be revived")
        self.codebook[codes] = vectors.to(self.codebook.dtype)
        self.counts[codes] = counts.to(self.counts.dtype)
        self.age[codes] = 0

    def for_target(self) -> Quantizer:
        """Returns the quantizer of the target branch: this one if `share`, else a copy with frozen
        weights.

        The copy has its own statistics, so that the two codebooks drift apart (the published
        behaviour).
        """
        return self if self.share else copy.deepcopy(self).requires_grad_(False)

    def tokens_in_all(self, n: int) -> float:
        """Returns the mean number of tokens per rank, at least 1. `n` is the number on this rank.

        If each rank divides its sum over tokens by this number and gradients are averaged over
        ranks, the result is the mean over the tokens of all ranks.
        """
        if not self.training or world_size() == 1:
            return max(float(n), 1.0)
        return max(
            float(summed(torch.tensor(float(n), device=self.counts.device))) / world_size(), 1.0
        )
