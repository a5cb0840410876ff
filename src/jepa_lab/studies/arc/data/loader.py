"""Data loader of tokenised ARC examples; it can be resumed after any batch.

The order of the examples depends on (seed, epoch) alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from jepa_lab.data.loader import EpochBatches
from jepa_lab.ranks import share
from jepa_lab.studies.arc.data.batch import ArcBatch, ArcView
from jepa_lab.studies.arc.data.cache import CachedTokens
from jepa_lab.studies.arc.data.examples import ABSENT, make_examples
from jepa_lab.studies.arc.data.task import ArcTask, Grid
from jepa_lab.studies.arc.data.tokens.tokenisers import Tokeniser
from jepa_lab.studies.arc.data.tokens.tokens import VIEW, AugmentOptions, OnlineTokens, TokenSource


class ArcLoader(EpochBatches[ArcBatch]):
    """Batches (`ArcBatch`) of the tasks of a split.

    See make_examples for the problems, EpochBatches for order and resuming. Raises ValueError for
    invalid arguments.

    shuffle: true for training. Tasks are then augmented by `augment`, and the demonstrations of an
    example are drawn at random. Evaluation uses the grids unchanged, and the transforms of
    `families` (if any) of epoch 0. variants: epoch e uses the transforms of epoch e mod variants;
    None for new transforms in every epoch. cache: a folder for the tokens of all variants, written
    at the first use; it requires `variants` unless nothing is transformed. A batch depends on its
    examples and the epoch alone.
    """

    def __init__(
        self,
        tasks: Sequence[ArcTask],
        tokeniser: Tokeniser,
        *,
        problem: str = "demos",
        n_demos: int = 3,
        n_frames: int = 3,
        batch_size: int,
        split: str,
        seed: int = 0,
        shuffle: bool = False,
        augment: AugmentOptions | None = None,
        families: Sequence[str] = (),
        variants: int | None = None,
        cache: Path | str | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.examples = make_examples(
            tasks, problem, n_demos=n_demos, n_frames=n_frames, split=split
        )
        super().__init__(
            len(self.examples), batch_size, split=split, seed=seed, shuffle=shuffle, device=device
        )
        if not len(self):
            raise ValueError(
                f"batch_size: {batch_size} is more than the {self.n} {split} examples of problem"
                f" {problem}"
            )
        online = OnlineTokens(
            self.examples,
            tokeniser,
            split=split,
            seed=seed,
            augment=augment if shuffle else None,
            families=families,
        )
        self.variants = _checked(variants, online, shuffle, cache)
        self._online = online
        self.tokens: TokenSource = online
        if cache is not None:
            self.tokens = CachedTokens.of(
                Path(cache) / f"{split}.tokens", online, self.variants or 1
            )

    def examples_at(self, epoch: int, n: int) -> ArcBatch:
        """Returns the first n examples (or all, if fewer) as in `epoch`; the loader does not
        advance."""
        other = copy.copy(self)
        other.epoch = epoch
        return other._batch(torch.arange(min(n, self.n)))

    def grids_at(self, numbers: Tensor, epoch: int) -> list[Grid]:
        """Returns the grids of these numbers as in `epoch`."""
        other = copy.copy(self)
        other.epoch = epoch
        return list(self._online.grids(numbers, other._variant())[VIEW])

    def _batch(self, index: Tensor, mine: slice = slice(None)) -> ArcBatch:
        whole, index = index, index[mine]
        examples, size = self.examples, len(index)
        context = examples.context[index]
        if self.shuffle:
            context = examples.drawn_context(
                index, seed=self.seed, split=self.split, epoch=self.epoch
            )
        wanted = torch.cat([context.flatten(), examples.target[index]])
        present = wanted != ABSENT
        numbers = wanted[present].unique()
        rows = torch.where(present, torch.searchsorted(numbers, wanted), len(numbers))
        views = {}
        for name, tokens in self.tokens(numbers, self._variant(), rows).items():
            views[name] = ArcView(tokens[:-size], tokens[-size:])
        return ArcBatch(
            split=self.split,
            view=views.pop(VIEW),
            present=present[:-size].view_as(context),
            roles=examples.roles.repeat(size, 1),
            pairs=examples.pairs.repeat(size, 1),
            task=examples.task[whole],
            index=whole,
            transformed=views,
        )

    def _on(self, index: Tensor, device: torch.device | None) -> ArcBatch:
        batch = self._batch(index, share(len(index)))
        return batch if device is None else batch.to(device)

    def _variant(self) -> int:
        if not self.shuffle:
            return 0
        return self.epoch if self.variants is None else self.epoch % self.variants


def _checked(
    variants: int | None, online: OnlineTokens, shuffle: bool, cache: Path | str | None
) -> int | None:
    """Returns the number of variants, which is 1 if all epochs are alike."""
    if variants is not None and not (isinstance(variants, int) and variants >= 1):
        raise ValueError(f"variants: {variants!r} is not a whole number from 1")
    if not shuffle or not (online.augment or online.families):
        return 1
    if variants is None and cache is not None:
        raise ValueError(
            "variants: dataset.cache needs a fixed number of variants per task; set it (8, for"
            " example) or leave cache out"
        )
    return variants
