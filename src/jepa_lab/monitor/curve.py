"""A curve of one value for each step, in bounded memory and without waiting for the device."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

MOST_WAITING = 2_000  # tensors
MOST = 20_000  # points; above it every second one is dropped


class Curve:
    """The points (step, value) of a loss. A tensor is kept as it is until `points` is read, so that
    an accelerator does not have to finish its step."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []
        self._waiting: list[tuple[int, Any]] = []
        self._fresh: list[tuple[int, float]] = []
        self._seen, self._stride = 0, 1

    def add(self, step: int, value: Any) -> None:
        """Adds a number or a tensor of one element. Raises ValueError for anything else."""
        if isinstance(value, Tensor):
            if value.numel() != 1 or value.is_complex():
                raise ValueError(
                    f"shape {tuple(value.shape)} of {value.dtype}; expected one number"
                )
            # a copy: the tensor may be written to, or be a part of a large one
            kept: Any = value.detach().reshape(()).clone()
        else:
            try:
                kept = float(value)
            except (TypeError, ValueError):
                raise ValueError(f"{value!r}; expected a number") from None
        self._waiting.append((step, kept))
        if len(self._waiting) >= MOST_WAITING:
            self.points()

    def points(self) -> list[tuple[int, float]]:
        """Returns all kept points in order. Waits for the device."""
        waiting, self._waiting = self._waiting, []
        for step, given in waiting:
            value = float(given)
            # a value that is not finite is a finding, wherever it stands
            if self._seen % self._stride == 0 or not math.isfinite(value):
                self._points.append((step, value))
                self._fresh.append((step, value))
            self._seen += 1
        if len(self._points) > MOST:
            kept = enumerate(self._points)
            self._points = [p for i, p in kept if i % 2 == 0 or not math.isfinite(p[1])]
            self._stride *= 2
        return list(self._points)

    def fresh(self) -> list[tuple[int, float]]:
        """Returns the points since the last call, for a file."""
        self.points()
        fresh, self._fresh = self._fresh, []
        return fresh

    def restore(self, points: list[tuple[int, float]]) -> None:
        """Replaces the points by those of a checkpoint."""
        self._points = [(int(step), float(value)) for step, value in points]
        self._waiting, self._fresh, self._seen = [], [], len(self._points)
