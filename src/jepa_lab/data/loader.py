"""Batches of data in memory, in an order that depends on (seed, epoch) alone and can be resumed
anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from jepa_lab.data.ahead import made_ahead
from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.devices import current, free_bytes, sent
from jepa_lab.ranks import share

# split, index (B,), images (b, C, H, W) uint8, labels (B,), and the source's maps (b, ...) if any;
# b are the rows of this process, of the B of the batch
ImageBatch = (
    tuple[str, Tensor, Tensor, Tensor | None] | tuple[str, Tensor, Tensor, Tensor | None, Tensor]
)

Batch = TypeVar("Batch")
ON_DEVICE = ("images", "labels", "saliency", "latents")
SHARE = 0.25  # of the free memory of an accelerator that the images of a split may take


class EpochBatches(Generic[Batch]):
    """Iterates over n samples in batches that subclasses make. Lightning sets its epoch and stores
    its position.

    The training order is a permutation drawn from (seed, epoch). The last short batch is left out,
    since its batch-norm statistics would have another distribution. The evaluation order is the
    source's, every sample once. `__iter__` must be a generator: its body starts after Lightning has
    set the epoch.

    `batch_size` is global. Of each batch a process reads only its own rows, see ranks.share, so
    that order, position and epoch do not depend on the number of processes.

    With a `device`, an accelerator, batches are made there, or are sent there by a thread that
    works ahead of the training.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        *,
        split: str,
        seed: int = 0,
        shuffle: bool = False,
        device: torch.device | None = None,
    ) -> None:
        self.n = n
        self.batch_size = batch_size
        self.split = split
        self.seed = seed
        self.shuffle = shuffle
        self.device = device
        self.epoch = 0
        self._position = 0
        self._skip = 0
        self.batch_sampler = None  # Lightning reads it before `sampler`

    def __len__(self) -> int:
        return self.n // self.batch_size if self.shuffle else -(-self.n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self._order()
        start, self._skip = self._skip, 0
        positions = range(start, len(self))
        size, there = self.batch_size, None if self.device is None else current(self.device)
        batches = (self._on(order[p * size : (p + 1) * size], there) for p in positions)
        for position, batch in zip(
            positions, made_ahead(batches) if self.works_ahead else batches, strict=True
        ):
            self._position = position + 1
            yield batch

    def first(self, n: int) -> Batch:
        """Returns the first n samples of the epoch. The loader does not advance."""
        index = self._order()[:n]
        return self._batch(index, share(len(index)))

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.n)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        return torch.randperm(self.n, generator=generator)

    @property
    def works_ahead(self) -> bool:
        """Whether a thread makes the batches."""
        return self.device is not None

    def _batch(self, index: Tensor, mine: slice = slice(None)) -> Batch:
        """Returns the batch of these samples, with the data of the rows `mine`."""
        raise NotImplementedError

    def _on(self, index: Tensor, device: torch.device | None) -> Batch:
        """Returns the batch of samples `index` (B,) on a device, or on the CPU."""
        return self._batch(index, share(len(index)))

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
    """Iterates over batches of an ImageSource. On an accelerator with room for them, the images are
    moved there once. Takes the options of EpochBatches."""

    def __init__(self, source: ImageSource, batch_size: int, **options: Any) -> None:
        super().__init__(len(source.images), batch_size, **options)
        self.source = source
        self._resident: ImageSource | None = None

    @property
    def works_ahead(self) -> bool:
        return self.device is not None and not self._fits

    @cached_property
    def _fits(self) -> bool:
        images = self.source.images
        if self.device is None or not isinstance(images, Tensor):
            return False
        held = (images, self.source.maps)
        return sum(x.nbytes for x in held if x is not None) <= SHARE * free_bytes(self.device)

    def _batch(self, index: Tensor, mine: slice = slice(None)) -> ImageBatch:
        return _rows(self.source, self.split, index, mine)

    def _on(self, index: Tensor, device: torch.device | None) -> ImageBatch:
        mine = share(len(index))
        if device is None:
            return self._batch(index, mine)
        if not self._fits:
            split, *tensors = self._batch(index, mine)
            there = [None if x is None else sent(x, device) for x in tensors]
            return (split, *there)  # type: ignore[return-value]
        if self._resident is None:
            parts = {name: getattr(self.source, name) for name in ON_DEVICE}
            moved = {name: x.to(device) for name, x in parts.items() if x is not None}
            self._resident = replace(self.source, **moved)
        return _rows(self._resident, self.split, sent(index, device), mine)


def _rows(source: ImageSource, split: str, index: Tensor, mine: slice) -> ImageBatch:
    """Returns the batch of these samples with the images of the rows `mine`, on the device of the
    source."""
    labels = None if source.labels is None else source.labels[index]
    batch = (split, index, source.images[index[mine]], labels)
    return batch if source.maps is None else (*batch, source.maps[index[mine]])
