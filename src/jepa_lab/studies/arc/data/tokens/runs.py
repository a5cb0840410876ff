"""Runs: adjacent cells of a row with the same key, and the pairs of runs that touch across rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.tokens.cells import NOTHING, Cells, Ints


@dataclass(frozen=True)
class RunLengths:
    """The r runs of n grids, in the order of their first cells.

    `cell` (index of the first cell), `grid`, `row`, `left` and `right` (inclusive) are (r,).
    `of_cell` (T,) is the run of each cell, NOTHING for cells without a run. `touching` (2, e) lists
    each pair of runs of neighbouring rows that share an edge or, with connectivity 8, a corner.
    `above` lists the cells whose neighbour below has the same key.
    """

    cell: Ints
    grid: Ints
    row: Ints
    left: Ints
    right: Ints
    of_cell: Ints
    touching: Ints
    above: Ints

    @staticmethod
    def of(cells: Cells, key: Ints, connectivity: int) -> RunLengths:
        """Finds runs of neighbours with the same `key` (T,). Cells with key NOTHING have no run."""
        inside = key != NOTHING
        breaks = np.ones(len(cells) + 1, dtype=bool)
        breaks[1:-1] = (key[1:] != key[:-1]) | (cells.col[1:] == 0)
        starts, ends = inside & breaks[:-1], inside & breaks[1:]
        (first,), (last,) = np.nonzero(starts), np.nonzero(ends)
        of_cell = np.where(inside, np.cumsum(starts) - 1, NOTHING)
        wide, tall = cells.width[cells.grid], cells.height[cells.grid]
        (upper,) = np.nonzero(inside & (cells.row < tall - 1))
        lower = upper + wide[upper]
        above = upper[key[lower] == key[upper]]
        below = above + wide[above]
        meets = starts[above] | starts[below]  # the first column that two touching runs share
        pairs = [np.stack([above[meets], below[meets]])]
        if connectivity == 8:
            pairs += [
                _corners(upper, lower, key, ends, starts, cells, 1),
                _corners(upper, lower, key, starts, ends, cells, -1),
            ]
        touching = of_cell[np.concatenate(pairs, axis=1)]
        return RunLengths(
            first,
            cells.grid[first],
            cells.row[first],
            cells.col[first],
            cells.col[last],
            of_cell,
            touching,
            above,
        )

    def __len__(self) -> int:
        return len(self.cell)

    def components(self) -> tuple[Ints, int]:
        """Returns the component (r,) of each run and the number of connected components, which are
        numbered in the order of their first runs."""
        root = np.arange(len(self))
        upper, lower = self.touching
        # Join the later root of each pair to the earlier one until the roots of all pairs agree.
        # The root of a component is its first run.
        while len(upper):
            one, other = root[upper], root[lower]
            np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
            while not np.array_equal(root, further := root[root]):
                root = further
            apart = root[upper] != root[lower]
            upper, lower = upper[apart], lower[apart]
        first = root == np.arange(len(root))
        return (np.cumsum(first) - 1)[root], int(np.count_nonzero(first))


def _corners(
    upper: Ints,
    lower: Ints,
    key: Ints,
    of_upper: np.ndarray,
    of_lower: np.ndarray,
    cells: Cells,
    step: int,
) -> Ints:
    """Returns pairs (2, e) of cells with equal keys that touch at a corner: a cell flagged in
    `of_upper`, and a cell flagged in `of_lower` one row below and `step` columns aside."""
    col = cells.col[upper] + step
    inside = (col >= 0) & (col < cells.width[cells.grid[upper]]) & of_upper[upper]
    upper, aside = upper[inside], lower[inside] + step
    touch = (key[aside] == key[upper]) & of_lower[aside]
    return np.stack([upper[touch], aside[touch]])
