"""A queue of negatives from earlier steps (MoCo, He et al. 2020, arXiv:1911.05722)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NegativeQueue(nn.Module):
    """A ring buffer of the last `size` committed rows, scaled to length 1 in float32, and the task
    of each.

    `stage` collects the rows of a micro-batch. `commit` moves them into the queue after the
    optimiser step, and `drop` discards them if the step was skipped. The queue therefore holds rows
    of completed steps only. The state dict has everything but the staged rows, since no checkpoint
    is written within a step. With several ranks, every rank stages the same gathered rows. A queue
    of size 0 stays empty. Raises ValueError for size < 0, dim < 1 and rows of other shapes.
    """

    rows: Tensor
    tasks: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 0 or dim < 1:
            raise ValueError(
                f"the queue's size must be at least 0 and its dim at least 1, got {size} and {dim}"
            )
        self.size = size
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("tasks", torch.full((size,), -1, dtype=torch.int64))
        # Not buffers, since reading a buffer would make the host wait for the device at every step.
        self._next = 0
        self._count = 0
        self._staged: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return self._count

    @property
    def filled(self) -> tuple[Tensor, Tensor]:
        """The rows (m, dim) and their tasks (m,), m <= size, in arbitrary order."""
        return self.rows[: self._count], self.tasks[: self._count]

    @torch.no_grad()
    def stage(self, rows: Tensor, tasks: Tensor) -> None:
        """Collects (n, dim) rows and their (n,) int64 tasks for the next commit."""
        if rows.ndim != 2 or rows.shape[1] != self.rows.shape[1] or tasks.shape != rows.shape[:1]:
            shapes = f"{tuple(rows.shape)} and {tuple(tasks.shape)}"
            raise ValueError(
                f"expected rows (n, {self.rows.shape[1]}) and tasks (n,), got {shapes}"
            )
        self._staged.append((F.normalize(rows.detach().float(), dim=1), tasks.detach().clone()))

    @torch.no_grad()
    def commit(self) -> None:
        """Writes the staged rows over the oldest rows, in order. Call it after the backward pass,
        which still reads the old rows."""
        if self._staged and self.size:
            rows, tasks = (
                torch.cat(parts)[-self.size :] for parts in zip(*self._staged, strict=True)
            )
            places = (torch.arange(len(rows), device=self.rows.device) + self._next) % self.size
            self.rows[places] = rows.to(self.rows)
            self.tasks[places] = tasks.to(self.tasks)
            self._next = (self._next + len(rows)) % self.size
            self._count = min(self.size, self._count + len(rows))
        self.drop()

    def drop(self) -> None:
        """Discards the staged rows."""
        self._staged.clear()

    def get_extra_state(self) -> dict[str, int]:
        return {"next": self._next, "count": self._count}

    def set_extra_state(self, state: Any) -> None:
        self._next, self._count = state["next"], state["count"]
        self.drop()
