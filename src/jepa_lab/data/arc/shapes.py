"""Shapes of objects: their holes, and a small drawing of each."""

from __future__ import annotations

import numpy as np

from jepa_lab.data.arc.cells import OUTSIDE, Cells, Ints
from jepa_lab.data.arc.objects import Objects


def holes(cells: Cells, objects: Objects, connectivity: int) -> Ints:
    """Number of holes (m,) of each object: one less its Euler number, vertices less edges plus faces.

    With connectivity 4 the cells are the vertices, joined across edges, and a hole may touch another at a corner;
    with 8 the cells are closed squares. What fills a hole does not matter.
    """
    labels = np.full(len(cells), OUTSIDE, dtype=np.int64)
    labels[objects.cell] = objects.label
    layout = cells.bordered(labels)
    place, pitch, own = cells.place[objects.cell], cells.pitch[objects.cell], objects.label

    def same(rows: int, cols: int) -> np.ndarray:
        return layout[place + rows * pitch + cols] == own

    if connectivity == 4:
        right, down = same(0, 1), same(1, 0)
        euler = 1.0 - right - down + (right & down & same(1, 1))
    else:
        up, left = ~same(-1, 0), ~same(0, -1)
        # a corner or edge shared by several cells of an object is counted at the first of them
        corners = 1.0 + left + (up & ~same(-1, 1)) + (up & left & ~same(-1, -1))
        euler = corners - (2.0 + up + left) + 1.0
    return 1 - np.bincount(own, euler, minlength=len(objects)).astype(np.int64)


def occupancy(row: Ints, height: Ints, col: Ints, width: Ints, side: int) -> np.ndarray:
    """How much (t, side * side) of each of side x side equal parts of its box a cell at (row, col) covers.

    The sum over the cells of an object is its drawing: 1 where a part is full. row, height, col, width: (t,).
    """
    rows, cols = _overlap(row, height, side), _overlap(col, width, side)
    return (rows[:, :, None] * cols[:, None, :]).reshape(len(row), side * side)


def _overlap(position: Ints, length: Ints, side: int) -> np.ndarray:
    """Length (t, side) of each of `side` unit parts that the cell covers, the box stretched to `side` units."""
    start, end = (position * side / length)[:, None], ((position + 1) * side / length)[:, None]
    part = np.arange(side)
    return np.clip(np.minimum(end, part + 1) - np.maximum(start, part), 0.0, None)
