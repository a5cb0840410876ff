"""Batches of data in memory, in an order that depends on (seed, epoch) alone and can be resumed
anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.ranks import share

# split, index (B,), images (b, C, H, W) uint8, labels (B,), and the source's maps (b, ...) if any;
# b are the rows of this process, of the B of the batch
ImageBatch = (
    tuple[str, Tensor, Tensor, Tensor | None] | tuple[str, Tensor, Tensor, Tensor | None, Tensor]
)

Batch = TypeVar("Batch")


class EpochBatches(Generic[Batch]):
    """Iterates over n samples in batches that subclasses make. Lightning sets its epoch and stores
    its position.

    The training order is a permutation drawn from (seed, epoch). The last short batch is left out,
    since its batch-norm statistics would have another distribution. The evaluation order is the
    source's, every sample once. `__iter__` must be a generator: its body starts after Lightning has
    set the epoch.

    `batch_size` is global. Of each batch a process reads only its own rows, see ranks.share, so
    that order, position and epoch do not depend on the number of processes.
    """

    def __init__(
        self, n: int, batch_size: int, *, split: str, seed: int = 0, shuffle: bool = False
    ) -> None:
        self.n = n
        self.batch_size = batch_size
        self.split = split
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self._position = 0
        self._skip = 0
        self.batch_sampler = None  # Lightning reads it before `sampler`

    def __len__(self) -> int:
        return self.n // self.batch_size if self.shuffle else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self._order()
        start, self._skip = self._skip, 0
        for position in range(start, len(self)):
            self._position = position + 1
            index = order[position * self.batch_size : (position + 1) * self.batch_size]
            yield self._batch(index, share(len(index)))

    def first(self, n: int) -> Batch:
        """Returns the first n samples of the epoch. The loader does not advance."""
        index = self._order()[:n]
        return self._batch(index, share(len(index)))

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.n)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        return torch.randperm(self.n, generator=generator)

    def _batch(self, index: Tensor, mine: slice = slice(None)) -> Batch:
        """Returns the batch of these samples, with the data of the rows `mine`."""
        raise NotImplementedError

    @property
    def sampler(self) -> EpochBatches[Batch]:
        """The loader itself, since Lightning calls `set_epoch` on a loader's sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Returns the epoch and the number of batches consumed in it."""
        return {
            "epoch": self.epoch + self._position // len(self),
            "position": self._position % len(self),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self._skip = state["epoch"], state["position"]


class EpochLoader(EpochBatches[ImageBatch]):
    """Iterates over batches of an ImageSource."""

    def __init__(
        self,
        source: ImageSource,
        batch_size: int,
        *,
        split: str,
        seed: int = 0,
        shuffle: bool = False,
    ) -> None:
        super().__init__(len(source.images), batch_size, split=split, seed=seed, shuffle=shuffle)
        self.source = source

    def _batch(self, index: Tensor, mine: slice = slice(None)) -> ImageBatch:
        labels = None if self.source.labels is None else self.source.labels[index]
        batch = (self.split, index, self.source.images[index[mine]], labels)
        return batch if self.source.maps is None else (*batch, self.source.maps[index[mine]])
