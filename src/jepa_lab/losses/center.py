"""A running mean of features for losses that need one. It moves once per optimiser step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class EmaCenter(nn.Module):
    """Base class of losses with a buffer `center` (dim,), a running mean of rows that starts at 0.

    A batch is compared with the centre first, and then moves it. With `hold`, `collect` only
    gathers rows, and `update_center` moves the centre once per optimiser step, however many batches
    or directions the step had. Without `hold`, every collected batch moves the centre.
    """

    center: Tensor

    def __init__(self, dim: int, center_ema_decay: float = 0.9, hold: bool = False) -> None:
        super().__init__()
        if not 0 <= center_ema_decay <= 1:
            raise ValueError(f"the decay must lie in [0, 1], got {center_ema_decay}")
        self.center_ema_decay = center_ema_decay
        self.hold = hold
        self.register_buffer("center", torch.zeros(dim))
        # The sum of the rows since the last update. It is not a buffer, since FiniteGuard restores
        # buffers and would bring dropped rows back.
        self._sum: Tensor | None = None
        self._rows = 0

    def collect(self, rows: Tensor) -> None:
        """Adds rows (n, dim) to the mean that the centre moves towards."""
        total = rows.detach().sum(dim=0).to(self.center.dtype)
        self._sum = total if self._sum is None else self._sum + total
        self._rows += len(rows)
        if not self.hold:
            self.update_center()

    @torch.no_grad()
    def update_center(self) -> None:
        """Sets center to decay * center + (1 - decay) * mean of the rows since the last update.

        The centre does not change if no rows were collected, nor in entries where the mean is not
        finite.
        """
        if self._sum is not None:
            moved = self.center.lerp(self._sum / self._rows, 1.0 - self.center_ema_decay)
            self.center.copy_(torch.where(torch.isfinite(moved), moved, self.center))
        self.forget()

    def forget(self) -> None:
        """Drops the rows collected since the last update, for a skipped optimiser step."""
        self._sum, self._rows = None, 0

    def end_step(self, skipped: bool) -> None:
        """Moves the centre by the rows of the optimiser step. A skipped step drops them."""
        if skipped:
            self.forget()
        self.update_center()
