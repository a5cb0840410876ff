"""Objects of many grids at once: connected components of their cells, with their boxes and their ranks by area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jepa_lab.data.arc.cells import OUTSIDE, Cells, Ints, first_places


@dataclass(frozen=True)
class Objects:
    """The m objects of n grids.

    cell: (t,) indices of the cells that belong to an object, in order; label: (t,) their objects. grid, area, top,
    left, bottom, right (inclusive), first (index of its first cell): (m,). rank: (m,) the object's position among
    those of its grid, by area from the largest, equal ones in raster order of their first cells. count: (n,) objects
    of a grid.
    """

    cell: Ints
    label: Ints
    grid: Ints
    area: Ints
    top: Ints
    left: Ints
    bottom: Ints
    right: Ints
    first: Ints
    rank: Ints
    count: Ints

    @staticmethod
    def of(cells: Cells, key: Ints, connectivity: int) -> Objects:
        """Of the cells with a `key` (T,) that is not negative; neighbours of equal key are one object."""
        labels = cells.components(key, connectivity)
        (cell,) = np.nonzero(labels != OUTSIDE)
        label = labels[cell]
        m = int(label.max()) + 1 if len(label) else 0
        first = cell[first_places(label, m)]
        last = np.zeros(m, dtype=np.int64)
        last[label] = cell
        grid, area = cells.grid[first], np.bincount(label, minlength=m)
        left = np.full(m, np.iinfo(np.int64).max)
        right = np.full(m, OUTSIDE)
        np.minimum.at(left, label, cells.col[cell])
        np.maximum.at(right, label, cells.col[cell])
        count = np.bincount(grid, minlength=len(cells.height))
        rank = np.empty(m, dtype=np.int64)
        rank[np.lexsort((first, -area, grid))] = np.arange(m) - np.repeat(np.cumsum(count) - count, count)
        return Objects(cell, label, grid, area, cells.row[first], left, cells.row[last], right, first, rank, count)

    def __len__(self) -> int:
        return len(self.area)


def boxes_touch(boxes: Ints, mask: np.ndarray) -> np.ndarray:
    """Adjacency (n, N, N), without loops, of boxes (4, n, N): no free row and no free column lies between the two.

    The first row, first column, last row and last column of each, where mask (n, N) says that there is one.
    """
    top, left, bottom, right = boxes
    rows = top[:, :, None] <= bottom[:, None, :] + 1
    cols = left[:, :, None] <= right[:, None, :] + 1
    touch = rows & rows.swapaxes(1, 2) & cols & cols.swapaxes(1, 2)
    touch &= mask[:, :, None] & mask[:, None, :]
    diagonal = np.arange(mask.shape[1])
    touch[:, diagonal, diagonal] = False
    return touch


def foreground_key(cells: Cells, background: Ints, respect_colors: bool = True) -> Ints:
    """Key (T,) of the cells that are not of their grid's background colour (n,): their colour, or 0 for all colours."""
    visible = cells.color != background[cells.grid]
    return np.where(visible, cells.color if respect_colors else 0, OUTSIDE)
