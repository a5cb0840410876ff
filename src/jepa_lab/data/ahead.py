"""Batches that are made ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
AHEAD = 2  # batches that are ready or in the making while the caller works on one


def made_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yields the batches in their order. A thread makes the next ones meanwhile. Raises the error
    of a batch in the place of that batch."""
    with ThreadPoolExecutor(1, "batches") as thread:
        waiting = deque(thread.submit(next, batches, None) for _ in range(AHEAD))
        while (batch := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, batches, None))
            yield batch
