"""A running mean of features that a loss reads, and that moves once per optimiser step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EmaCenter(nn.Module):
    """Base of losses with a buffer `center` (dim,), 0 at first: used, then moved towards the mean
    of the rows seen.

    With `hold` set, `collect` only gathers rows, and `update_center` moves it: once per optimiser
    step, however many batches or directions the step had. Without, every collected batch moves it.
    """

    center: Tensor

    def __init__(self, dim: int, center_ema_decay: float = 0.9, hold: bool = False) -> None:
        super().__init__()
        if not 0 <= center_ema_decay <= 1:
            raise ValueError(f"the decay must lie in [0, 1], got {center_ema_decay}")
        self.center_ema_decay = center_ema_decay
        self.hold = hold
        self.register_buffer("center", torch.zeros(dim))
        # of the rows since the last update. No buffer: FiniteGuard puts buffers back, and would
        # revive what was dropped
        self._sum: Tensor | None = None
        self._rows = 0

    def collect(self, rows: Tensor) -> None:
        """Rows (n, dim) that the centre is to move towards."""
        total = rows.detach().sum(dim=0).to(self.center.dtype)
        self._sum = total if self._sum is None else self._sum + total
        self._rows += len(rows)
        if not self.hold:
            self.update_center()

    @torch.no_grad()
    def update_center(self) -> None:
        """center <- decay * center + (1 - decay) * mean of the rows since the last update; nothing
        without rows, nor where the mean is not finite."""
        if self._sum is not None:
            moved = self.center.lerp(self._sum / self._rows, 1.0 - self.center_ema_decay)
            self.center.copy_(torch.where(torch.isfinite(moved), moved, self.center))
        self.forget()

    def forget(self) -> None:
        """Drops the rows collected since the last update, as for a step that is left out."""
        self._sum, self._rows = None, 0

    def end_step(self, skipped: bool) -> None:
        """Moves the centre by the rows of the optimiser step; not by those of one that is left
        out."""
        if skipped:
            self.forget()
        self.update_center()
