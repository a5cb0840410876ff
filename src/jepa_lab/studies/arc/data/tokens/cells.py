"""The cells of many grids as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.task import Grid

Ints = np.ndarray  # int64
NOTHING = -1  # key or label of cells that belong to no run or object


@dataclass(frozen=True)
class Cells:
    """The T cells of n grids, grid after grid, row after row.

    `color`, `grid` (number of the grid), `row` and `col` are (T,). `height` and `width` (n,) are
    those of the grids. The cell below cell i, if it exists, is i + width[grid[i]].
    """

    height: Ints
    width: Ints
    color: Ints
    grid: Ints
    row: Ints
    col: Ints

    @staticmethod
    def of(grids: Sequence[Grid]) -> Cells:
        """Flattens (H, W) arrays of colours. Empty grids are allowed."""
        height, width = np.array([grid.shape for grid in grids], dtype=np.int64).reshape(-1, 2).T
        lines = np.repeat(np.arange(len(grids)), height)  # the grid of every row
        wide = width[lines]
        # the row, counted through all grids, of every cell
        line = np.repeat(np.arange(len(lines)), wide)
        col = np.arange(len(line)) - (np.cumsum(wide) - wide)[line]
        row = (np.arange(len(lines)) - (np.cumsum(height) - height)[lines])[line]
        color = np.concatenate([g.reshape(-1) for g in grids]) if len(grids) else np.empty(0)
        return Cells(height, width, color.astype(np.int64), lines[line], row, col)

    def __len__(self) -> int:
        return len(self.color)


def first_places(labels: Ints, count: int) -> Ints:
    """Returns the first index of each label 0 to count - 1, len(labels) for missing labels."""
    first = np.full(count, len(labels), dtype=np.int64)
    # in reverse, since the last of several assignments to one place is kept
    first[labels[::-1]] = np.arange(len(labels))[::-1]
    return first
