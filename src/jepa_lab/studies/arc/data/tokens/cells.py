"""All cells of many grids as flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.task import Grid

Ints = np.ndarray  # int64
NOTHING = -1  # the key or label of cells that belong to nothing


@dataclass(frozen=True)
class Cells:
    """The T cells of n grids, grid after grid, row after row: color, grid (which one), row, col:
    (T,).

    height, width: (n,) of the grids. The cell below cell i, if there is one, is i + width[grid[i]].
    """

    height: Ints
    width: Ints
    color: Ints
    grid: Ints
    row: Ints
    col: Ints

    @staticmethod
    def of(grids: Sequence[Grid]) -> Cells:
        """Of (H, W) arrays of colours. Grids without a cell are allowed and have no cell here."""
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
    """Where each label 0 to count - 1 stands first; len(labels) where it never does."""
    first = np.full(count, len(labels), dtype=np.int64)
    first[labels[::-1]] = np.arange(len(labels))[
        ::-1
    ]  # of several assignments to one place, the last one stays
    return first
