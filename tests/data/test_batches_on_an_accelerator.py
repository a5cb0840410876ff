"""Batches that are made on an accelerator, or ahead of the training, are those of the CPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lab.data import loader as loaders
from jepa_lab.data.ahead import made_ahead
from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.loader import EpochLoader
from stand_in import DEVICE, seeing_waits

CPU = torch.device("cpu")


def loader(**options: Any) -> EpochLoader:
    images = torch.randint(0, 256, (23, 1, 4, 4), dtype=torch.uint8)
    maps = torch.rand(23, 4, 4)
    source = ImageSource("test", images, torch.arange(23), 23, (0.5,), (0.5,), maps)
    return EpochLoader(source, 4, split="train", seed=1, shuffle=True, **options)


def tensors(batches: Any) -> list[list[Tensor]]:
    return [list(batch[1:]) for batch in batches]


@pytest.mark.parametrize("room", [float("inf"), 100.0])
def test_batches_are_the_same_resident_or_sent_ahead(
    room: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, "free_bytes", lambda device: room)
    expected = tensors(loader())
    torch.manual_seed(0)
    other = loader(device=CPU)
    assert other.works_ahead == (room == 100.0)
    found = tensors(other)
    assert len(found) == len(expected) == 5
    for one, two in zip(found, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_resident_images_are_moved_once_and_then_no_batch_makes_the_host_wait() -> None:
    source = loader(device=DEVICE)
    with seeing_waits() as waits:
        batches = iter(source)
        assert all(x.is_meta for x in next(batches)[1:] if isinstance(x, Tensor))
        assert len(waits.places) == 3  # images, labels and maps
        list(batches)
        assert len(waits.places) == 3


def test_a_batch_that_is_ahead_does_not_count_as_done() -> None:
    torch.manual_seed(0)
    source = loader(device=CPU)
    source._fits = False
    batches = iter(source)
    next(batches), next(batches)
    assert source.state_dict() == {"epoch": 0, "position": 2}
    again = loader(device=CPU)
    again.load_state_dict(source.state_dict())
    assert [x[1].tolist() for x in again] == [x[1].tolist() for x in batches]


def test_batches_are_made_by_another_thread_and_keep_their_order_and_errors() -> None:
    def numbers() -> Iterator[tuple[int, int]]:
        for i in range(3):
            yield i, threading.get_ident()
        raise OSError("the disk")

    batches = made_ahead(numbers())
    found = [next(batches) for _ in range(3)]
    assert [number for number, _ in found] == [0, 1, 2]
    assert threading.get_ident() not in {thread for _, thread in found}
    with pytest.raises(OSError, match="the disk"):
        next(batches)
