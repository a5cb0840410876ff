"""Small drawings of shapes: the covered share of each of SIDE x SIDE equal parts of a box."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from jepa_lab.studies.arc.data.task import LARGEST
from jepa_lab.studies.arc.data.tokens.cells import Ints

SIDE = 5


def _covered() -> np.ndarray:
    """Returns a table (length, cells, part): the share of each of SIDE parts of a side of `length`
    cells that its first `cells` cells cover."""
    length, cells, part = np.ogrid[: LARGEST + 1, : LARGEST + 1, :SIDE]
    return np.clip(cells * SIDE / np.maximum(length, 1) - part, 0.0, 1.0)


_COVERED = _covered()


def drawings(
    label: Ints, count: int, row: Ints, height: Ints, left: Ints, right: Ints, width: Ints
) -> np.ndarray:
    """Returns the drawings (count, SIDE * SIDE), row by row, in [0, 1]: the share of each part of
    its box that the runs (r,) of a label cover.

    `row`, `left` and `right` (inclusive) are relative to the box. `height` and `width` are the
    sides of the box. All are (r,).
    """
    if not len(label):
        return np.zeros((count, SIDE * SIDE))
    # runs that follow each other in a row of a box are summed first
    new = np.ones(len(label), dtype=bool)
    new[1:] = (label[1:] != label[:-1]) | (row[1:] != row[:-1])
    (first,) = np.nonzero(new)
    cols = np.add.reduceat(_COVERED[width, right + 1] - _COVERED[width, left], first, axis=0)
    label, row, height = label[first], row[first], height[first]
    rows = _COVERED[height, row + 1] - _COVERED[height, row]
    parts = (rows[:, :, None] * cols[:, None, :]).reshape(len(row), SIDE * SIDE)
    return totals(parts, label, count)


def totals(values: np.ndarray, labels: Ints, count: int) -> np.ndarray:
    """Returns the sums (count, F) of the rows of values (T, F) with the same label, added in the
    order of the rows."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=count))])
    return csr_matrix((np.ones(len(labels)), order, starts), shape=(count, len(labels))) @ values
