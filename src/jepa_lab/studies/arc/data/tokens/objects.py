"""Objects of many grids at once: connected components of cells, with bounding boxes and ranks by
area."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.tokens.cells import NOTHING, Cells, Ints, first_places
from jepa_lab.studies.arc.data.tokens.runs import RunLengths


@dataclass(frozen=True)
class Objects:
    """The m objects of n grids, in the order of their first cells.

    `runs` are the runs of all objects, and `label` (r,) is the object of each run. `grid`, `area`,
    the box `top`, `left`, `bottom`, `right` (inclusive) and `cell` (index of the first cell) are
    (m,). `rank` (m,) is the position of an object in its grid by area, largest first. Objects of
    equal area are in raster order of their first cells. `count` (n,) is the number of objects of
    each grid.
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
        """Finds objects among the cells with a `key` (T,) other than NOTHING. Neighbours with equal
        keys belong to the same object."""
        runs = RunLengths.of(cells, key, connectivity)
        label, m = runs.components()
        first = first_places(label, m)
        bottom, left, right = (
            np.zeros(m, np.int64),
            np.full(m, np.iinfo(np.int64).max),
            np.zeros(m, np.int64),
        )
        bottom[label] = runs.row  # the last of several assignments, the lowest row, is kept
        np.minimum.at(left, label, runs.left)
        np.maximum.at(right, label, runs.right)
        area = np.bincount(label, runs.right - runs.left + 1, minlength=m).astype(np.int64)
        grid = runs.grid[first]
        count = np.bincount(grid, minlength=len(cells.height))
        rank = np.empty(m, dtype=np.int64)
        # a single sort by (grid, -area, number), since an area is at most 900
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
        """Returns the number of holes (m,) of each object: the independent cycles of the graph that
        joins its touching runs.

        With connectivity 4, two holes that meet at a corner count as one, and a hole that meets the
        outside at a corner is not a hole. With connectivity 8 they are separate. The content of a
        hole does not matter.
        """
        m = len(self)
        joints = np.bincount(self.label[self.runs.touching[0]], minlength=m)
        return 1 - np.bincount(self.label, minlength=m) + joints

    def perimeter(self) -> Ints:
        """Returns the perimeter (m,): the number of cell edges not shared by two cells of the
        object."""
        m, runs = len(self), self.runs
        beside = self.area - np.bincount(self.label, minlength=m)
        below = np.bincount(self.label[runs.of_cell[runs.above]], minlength=m)
        return 4 * self.area - 2 * (beside + below)


def boxes_touch(boxes: Ints, mask: np.ndarray) -> np.ndarray:
    """Returns the adjacency (n, N, N) of boxes, without loops. Two boxes are adjacent if no free
    row and no free column lies between them.

    `boxes` (4, n, N) holds first row, first column, last row and last column. `mask` (n, N) marks
    the boxes that exist.
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
    """Returns the key (T,) of cells that differ from the background (n,) of their grid: the colour,
    or 0 for all colours. Background cells have the key NOTHING."""
    visible = cells.color != background[cells.grid]
    return np.where(visible, cells.color if respect_colors else 0, NOTHING)
