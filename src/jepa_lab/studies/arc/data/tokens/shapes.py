"""Small drawings of shapes: how much of each of side x side equal parts of a box they cover."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from jepa_lab.studies.arc.data.task import LARGEST
from jepa_lab.studies.arc.data.tokens.cells import Ints

SIDE = 5


def _covered() -> np.ndarray:
    """(length, cells, part): what the first `cells` cells of a side of `length`, stretched to SIDE
    units, cover of each of its SIDE unit parts."""
    length, cells, part = np.ogrid[: LARGEST + 1, : LARGEST + 1, :SIDE]
    return np.clip(cells * SIDE / np.maximum(length, 1) - part, 0.0, 1.0)


_COVERED = _covered()


def drawings(
    label: Ints, count: int, row: Ints, height: Ints, left: Ints, right: Ints, width: Ints
) -> np.ndarray:
    """(count, SIDE * SIDE), row by row, in 0..1: what the runs (r,) of each label cover of its box.

    row, left and right (inclusive) are within the box, height and width its sides, all (r,). Runs
    that follow each other in a row of a box are summed up first.
    """
    if not len(label):
        return np.zeros((count, SIDE * SIDE))
    new = np.ones(len(label), dtype=bool)
    new[1:] = (label[1:] != label[:-1]) | (row[1:] != row[:-1])
    (first,) = np.nonzero(new)
    cols = np.add.reduceat(_COVERED[width, right + 1] - _COVERED[width, left], first, axis=0)
    label, row, height = label[first], row[first], height[first]
    rows = _COVERED[height, row + 1] - _COVERED[height, row]
    parts = (rows[:, :, None] * cols[:, None, :]).reshape(len(row), SIDE * SIDE)
    return totals(parts, label, count)


def totals(values: np.ndarray, labels: Ints, count: int) -> np.ndarray:
    """Sums (count, F) of the rows of values (T, F) that share a label, each in the order of its
    rows."""
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=count))])
    return csr_matrix((np.ones(len(labels)), order, starts), shape=(count, len(labels))) @ values
