"""Object tokens as in the public project: 23 features with the colour as an ordinal number, without
the shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from jepa_lab.studies.arc.data.batch import GridTokens
from jepa_lab.studies.arc.data.task import COLORS, Grid
from jepa_lab.studies.arc.data.tokens.cells import NOTHING, Cells, Ints, first_places
from jepa_lab.studies.arc.data.tokens.objects import Objects, boxes_touch, foreground_key
from jepa_lab.studies.arc.data.tokens.slots import check_slots, in_pieces


class PublishedSlots:
    """Tokens of the `max_objects` largest objects of a grid. Objects of equal area are in raster
    order of their first cells.

    The 23 features are area, perimeter, height, width, width / height, number of colours, most
    frequent colour, centroid y and x, the box's first row, first column, last row and last column,
    and ten counts. The most frequent colour is the raw number; among equally frequent colours it is
    the first in raster order. The counts are cells of each colour that the object has, in ascending
    order of colours but packed to the front, so that a place does not identify a colour. The
    perimeter is the number of cell edges not shared by two cells of the object.

    With `normalize`, areas, perimeter and counts are relative to the grid's cells, rows to its
    height, columns to its width. `colors` is empty: (n, N, 0). Objects without a slot are lost, as
    published. With `respect_colors` an object has one colour, otherwise neighbours of any colour
    other than the background are one object. Source: the public tokeniser's rules, restated.
    """

    n_colors = 0
    n_features = 13 + COLORS

    def __init__(
        self,
        max_objects: int = 16,
        connectivity: int = 4,
        respect_colors: bool = True,
        normalize: bool = True,
    ) -> None:
        check_slots(max_objects, connectivity)
        for key, value in (("respect_colors", respect_colors), ("normalize", normalize)):
            if not isinstance(value, bool):
                raise ValueError(f"{key}: {value!r} is neither true nor false")
        self.max_tokens = max_objects
        self.connectivity = connectivity
        self.respect_colors = respect_colors
        self.normalize = normalize
        self.fingerprint = (
            f"published-1 objects={max_objects} connectivity={connectivity}"
            f" respect_colors={respect_colors} normalize={normalize}"
        )

    def __call__(self, grids: Sequence[Grid], rows: Tensor | None = None) -> GridTokens:
        tokens = in_pieces(self._tokens, grids)
        return tokens if rows is None else tokens.rows(rows)

    def _tokens(self, grids: Sequence[Grid]) -> GridTokens:
        cells, n, places = Cells.of(grids), len(grids), self.max_tokens
        key = foreground_key(cells, np.zeros(n, dtype=np.int64), self.respect_colors)
        objects = Objects.of(cells, key, self.connectivity)
        (kept,) = np.nonzero(objects.rank < places)
        at = (objects.grid[kept], objects.rank[kept])
        mask = np.zeros((n, places), dtype=bool)
        mask[at] = True
        features = np.zeros((n, places, self.n_features), dtype=np.float32)
        features[at] = self._features(cells, objects, kept)
        boxes = np.zeros((4, n, places), dtype=np.int64)
        boxes[(slice(None), *at)] = [
            side[kept] for side in (objects.top, objects.left, objects.bottom, objects.right)
        ]
        colors = np.zeros((n, places, 0), dtype=np.int64)
        arrays = (colors, features, mask, boxes_touch(boxes, mask))
        return GridTokens(*(torch.from_numpy(array) for array in arrays))

    def places(self, grids: Sequence[Grid]) -> int:
        """Returns the number of slots, which is the same for all grids."""
        return self.max_tokens

    def _features(self, cells: Cells, objects: Objects, kept: Ints) -> np.ndarray:
        """Returns the features (k, 23) of the k objects that have a slot."""
        m, area, runs = len(objects), objects.area, objects.runs
        tall, wide = (
            side[objects.grid] if self.normalize else np.ones(m)
            for side in (cells.height, cells.width)
        )
        height, width = objects.bottom - objects.top + 1, objects.right - objects.left + 1
        length = runs.right - runs.left + 1
        y = np.bincount(objects.label, runs.row * length, minlength=m) / area
        x = np.bincount(objects.label, (runs.left + runs.right) * length, minlength=m) / 2 / area
        counts, present, dominant = _colors_of(cells, objects, self.respect_colors)
        columns = [
            area / (tall * wide),
            objects.perimeter() / (tall * wide),
            height / tall,
            width / wide,
            width / height,
            present,
            dominant,
            y / tall,
            x / wide,
            objects.top / tall,
            objects.left / wide,
            objects.bottom / tall,
            objects.right / wide,
        ]
        cells_of = counts[kept] / (tall * wide)[kept, None]
        return np.concatenate(
            [np.stack([column[kept] for column in columns], axis=1), cells_of], axis=1
        )


def _colors_of(cells: Cells, objects: Objects, one_each: bool) -> tuple[np.ndarray, Ints, Ints]:
    """Returns the cells of each colour of an object (m, 10), packed to the front, the number of its
    colours (m,), and its most frequent colour (m,)."""
    m = len(objects)
    if one_each:
        counts = np.zeros((m, COLORS), dtype=np.int64)
        counts[:, 0] = objects.area
        return counts, np.ones(m, dtype=np.int64), cells.color[objects.cell]
    (visible,) = np.nonzero(objects.runs.of_cell != NOTHING)
    both = objects.label[objects.runs.of_cell[visible]] * COLORS + cells.color[visible]
    counts = np.bincount(both, minlength=m * COLORS).reshape(m, COLORS)
    seen = first_places(both, m * COLORS).reshape(m, COLORS)
    frequent = counts == counts.max(1, keepdims=True)
    dominant = np.argmin(np.where(frequent, seen, len(both) + 1), axis=1)
    packed = np.take_along_axis(counts, np.argsort(counts == 0, axis=1, kind="stable"), axis=1)
    return packed, (counts > 0).sum(1), dominant
