"""All cells of many grids as flat arrays, each with its neighbours, and the connected components among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from jepa_lab.data.arc.task import Grid

Ints = np.ndarray  # int64
OUTSIDE = -1  # the label of cells that belong to nothing, and of what lies around a grid


@dataclass(frozen=True)
class Cells:
    """The T cells of n grids, grid after grid, row after row.

    height, width: (n,). color, grid (which one), row, col: (T,). place: (T,) the cell's position in a flat layout where
    every grid has a border of one cell, `pitch` (T,) the length of a row there, `extent` the size of the whole.
    """

    height: Ints
    width: Ints
    color: Ints
    grid: Ints
    row: Ints
    col: Ints
    place: Ints
    pitch: Ints
    extent: int

    @staticmethod
    def of(grids: Sequence[Grid]) -> Cells:
        """Of (H, W) arrays of colours. Grids without a cell are allowed and have no cell here."""
        height = np.array([grid.shape[0] for grid in grids], dtype=np.int64)
        width = np.array([grid.shape[1] for grid in grids], dtype=np.int64)
        sizes = height * width
        grid = np.repeat(np.arange(len(grids)), sizes)
        within = np.arange(len(grid)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        wide = width[grid]
        row = within // wide
        col = within - row * wide
        bordered = (height + 2) * (width + 2)
        pitch = wide + 2
        place = (np.cumsum(bordered) - bordered)[grid] + (row + 1) * pitch + col + 1
        color = np.concatenate([g.ravel() for g in grids]) if len(grids) else np.empty(0)
        return Cells(height, width, color.astype(np.int64), grid, row, col, place, pitch, int(bordered.sum()))

    def __len__(self) -> int:
        return len(self.color)

    def bordered(self, labels: Ints) -> Ints:
        """Labels (T,) in the flat layout with borders, OUTSIDE around every grid."""
        layout = np.full(self.extent, OUTSIDE, dtype=np.int64)
        layout[self.place] = labels
        return layout

    def components(self, key: Ints, connectivity: int) -> Ints:
        """Number (T,) of each cell's connected component: neighbours with the same `key` (T,) are of the same one.

        Numbers go up in the order in which the components' first cells come, through all grids; cells with a
        negative key belong to none and get OUTSIDE. connectivity is 4 (edges) or 8 (corners too).
        """
        (inside,) = np.nonzero(key >= 0)
        labels = np.full(len(self), OUTSIDE, dtype=np.int64)
        if not len(inside):
            return labels
        numbers = np.full(len(self), OUTSIDE, dtype=np.int64)
        numbers[inside] = np.arange(len(inside))
        layout, kept = self.bordered(numbers), key[inside]
        place, pitch = self.place[inside], self.pitch[inside]
        steps = (
            [np.ones_like(pitch), pitch] if connectivity == 4 else [np.ones_like(pitch), pitch - 1, pitch, pitch + 1]
        )
        neighbours = np.stack([layout[place + step] for step in steps], axis=1)
        joined = (neighbours != OUTSIDE) & (kept[neighbours] == kept[:, None])
        starts = np.concatenate([[0], np.cumsum(joined.sum(1))])
        edges = neighbours[joined]
        graph = csr_matrix((np.ones(len(edges), np.int8), edges, starts), shape=(len(inside), len(inside)))
        count, found = connected_components(graph, directed=False)
        labels[inside] = _in_order_of_first(found, count)
        return labels


def _in_order_of_first(labels: Ints, count: int) -> Ints:
    """The same partition, numbered by where each part's first member stands."""
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(first_places(labels, count))] = np.arange(count)
    return rank[labels]


def first_places(labels: Ints, count: int) -> Ints:
    """Where each label 0 to count - 1 stands first; len(labels) where it never does."""
    first = np.full(count, len(labels), dtype=np.int64)
    first[labels[::-1]] = np.arange(len(labels))[::-1]  # of several assignments to one place, the last one stays
    return first


def totals(values: np.ndarray, labels: Ints, count: int) -> np.ndarray:
    """Sums (count, F) of the rows of values (T, F) that share a label; each in the order of its rows."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=count))])
    return csr_matrix((np.ones(len(labels)), order, starts), shape=(count, len(labels))) @ values
