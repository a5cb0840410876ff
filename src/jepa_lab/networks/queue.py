"""The negatives of earlier steps (MoCo, He et al. 2020, arXiv:1911.05722): a ring of target
projections."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NegativeQueue(nn.Module):
    """The last `size` rows that were committed, at length 1 in float32, and the task of each.

    `stage` collects the rows of a micro-batch, `commit` takes them in after the optimiser step,
    `drop` forgets them where that was skipped: what is in the queue always comes from steps that
    happened. All of it but the staged rows is in the state dict (no checkpoint falls within a
    step). With several ranks, stage gathered rows, the same on all. size 0 is a queue that stays
    empty. ValueError for a size below 0, dim < 1 and rows of other shapes.
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
        # Numbers, not buffers: reading a buffer would make the host wait for the device at every
        # step.
        self._next = 0
        self._count = 0
        self._staged: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return self._count

    @property
    def filled(self) -> tuple[Tensor, Tensor]:
        """The rows (m, dim) and their tasks (m,), m <= size, in no order that means something."""
        return self.rows[: self._count], self.tasks[: self._count]

    @torch.no_grad()
    def stage(self, rows: Tensor, tasks: Tensor) -> None:
        """Keeps (n, dim) rows and their (n,) int64 tasks for the next commit."""
        if rows.ndim != 2 or rows.shape[1] != self.rows.shape[1] or tasks.shape != rows.shape[:1]:
            shapes = f"{tuple(rows.shape)} and {tuple(tasks.shape)}"
            raise ValueError(
                f"expected rows (n, {self.rows.shape[1]}) and tasks (n,), got {shapes}"
            )
        self._staged.append((F.normalize(rows.detach().float(), dim=1), tasks.detach().clone()))

    @torch.no_grad()
    def commit(self) -> None:
        """Takes in what is staged, in order, over the oldest rows. After the backward pass, which
        still reads them."""
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
        """Forgets what is staged."""
        self._staged.clear()

    def get_extra_state(self) -> dict[str, int]:
        return {"next": self._next, "count": self._count}

    def set_extra_state(self, state: Any) -> None:
        self._next, self._count = state["next"], state["count"]
        self.drop()
