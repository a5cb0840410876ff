"""The cells of many grids as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.flat_grids import FlatGrids, Ints
from jepa_lab.studies.arc.data.task import Grid

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
        flat = FlatGrids.of(grids)
        row, col = flat.positions()
        grid = np.repeat(np.arange(len(flat)), flat.sizes)
        return Cells(flat.height, flat.width, flat.cells.astype(np.int64), grid, row, col)

    def __len__(self) -> int:
        return len(self.color)


def first_places(labels: Ints, count: int) -> Ints:
    """Returns the first index of each label 0 to count - 1, len(labels) for missing labels."""
    first = np.full(count, len(labels), dtype=np.int64)
    # in reverse, since the last of several assignments to one place is kept
    first[labels[::-1]] = np.arange(len(labels))[::-1]
    return first
