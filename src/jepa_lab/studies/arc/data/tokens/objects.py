"""Objects of many grids at once: connected components of their cells, with their boxes and their
ranks by area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.tokens.cells import NOTHING, Cells, Ints, first_places
from jepa_lab.studies.arc.data.tokens.runs import RunLengths


@dataclass(frozen=True)
class Objects:
    """The m objects of n grids, in the order of their first cells.

    runs: the runs of all objects; label (r,): the object of each. grid, area, top, left, bottom,
    right (inclusive), cell (index of its first cell): (m,). rank: (m,) the object's position among
    those of its grid, by area from the largest, equal ones in raster order of their first cells.
    count: (n,) objects of a grid.
    """

    runs: RunLengths
    label: Ints
    grid: Ints
    area: Ints
    top: Ints
    left: Ints
    bottom: Ints
    right: Ints
    cell: Ints
    rank: Ints
    count: Ints

    @staticmethod
    def of(cells: Cells, key: Ints, connectivity: int) -> Objects:
        """Of the cells with a `key` (T,) other than NOTHING; neighbours of equal key are of one
        object."""
        runs = RunLengths.of(cells, key, connectivity)
        label, m = runs.components()
        first = first_places(label, m)
        bottom, left, right = (
            np.zeros(m, np.int64),
            np.full(m, np.iinfo(np.int64).max),
            np.zeros(m, np.int64),
        )
        bottom[label] = runs.row  # of several, the last one stays
        np.minimum.at(left, label, runs.left)
        np.maximum.at(right, label, runs.right)
        area = np.bincount(label, runs.right - runs.left + 1, minlength=m).astype(np.int64)
        grid = runs.grid[first]
        count = np.bincount(grid, minlength=len(cells.height))
        rank = np.empty(m, dtype=np.int64)
        # one sort by (grid, -area, number): an area is at most 900
        rank[np.argsort(grid * 1024 - area, kind="stable")] = (
            np.arange(m) - (np.cumsum(count) - count)[grid]
        )
        return Objects(
            runs,
            label,
            grid,
            area,
            runs.row[first],
            left,
            bottom,
            right,
            runs.cell[first],
            rank,
            count,
        )

    def __len__(self) -> int:
        return len(self.area)

    def holes(self) -> Ints:
        """Number of holes (m,) of each object: the independent cycles of the graph that joins its
        touching runs.

        With connectivity 4 two holes, or a hole and the outside, that meet at a corner are one,
        with 8 they are not. What fills a hole does not matter.
        """
        m = len(self)
        joints = np.bincount(self.label[self.runs.touching[0]], minlength=m)
        return 1 - np.bincount(self.label, minlength=m) + joints

    def perimeter(self) -> Ints:
        """Edges (m,) of the cells of each object that are not shared by two of them."""
        m, runs = len(self), self.runs
        beside = self.area - np.bincount(self.label, minlength=m)
        below = np.bincount(self.label[runs.of_cell[runs.above]], minlength=m)
        return 4 * self.area - 2 * (beside + below)


def boxes_touch(boxes: Ints, mask: np.ndarray) -> np.ndarray:
    """Adjacency (n, N, N), without loops, of boxes (4, n, N): no free row and no free column lies
    between the two.

    The first row, first column, last row and last column of each, where mask (n, N) says that there
    is one.
    """
    top, left, bottom, right = np.where(
        mask, boxes, np.array([100, 0, -100, 0])[:, None, None]
    ).astype(np.int8)
    touch = (top[:, :, None] <= bottom[:, None, :] + 1) & (
        left[:, :, None] <= right[:, None, :] + 1
    )
    touch &= touch.swapaxes(1, 2)
    diagonal = np.arange(mask.shape[1])
    touch[:, diagonal, diagonal] = False
    return touch


def foreground_key(cells: Cells, background: Ints, respect_colors: bool = True) -> Ints:
    """Key (T,) of the cells that are not of their grid's background colour (n,): their colour, or 0
    for all colours."""
    visible = cells.color != background[cells.grid]
    return np.where(visible, cells.color if respect_colors else 0, NOTHING)
