"""Tokens of objects: the grid itself, then its largest objects, with colour, place, size and
shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens
from jepa_lab.studies.arc.data.task import COLORS, LARGEST, Grid
from jepa_lab.studies.arc.data.tokens.cells import NOTHING, Cells, Ints, first_places
from jepa_lab.studies.arc.data.tokens.objects import Objects, boxes_touch, foreground_key
from jepa_lab.studies.arc.data.tokens.shapes import SIDE, drawings

_PIECE = 256  # grids
_LARGEST_LOG = float(np.log1p(LARGEST * LARGEST))
OF_GRID = ("is_grid", "background_share", "log_objects", "slotted_share", "log_unslotted")
BOX = (
    "log_area",
    "height",
    "width",
    "centroid_y",
    "centroid_x",
    "top",
    "left",
    "relative_y",
    "relative_x",
)
SHAPE = ("density", "at_top", "at_left", "at_bottom", "at_right", "log_holes")
NAMES = OF_GRID + BOX + SHAPE + tuple(f"shape_{i}_{j}" for i in range(SIDE) for j in range(SIDE))


class ObjectSlots:
    """Tokens of a grid (place 0) and of its largest objects, which are connected cells of one
    colour other than the background.

    Objects are sorted by area, largest first, and in raster order for equal areas. `colors` is the
    colour of an object, and the background colour for the grid. The features (NAMES) of an object
    are the logarithms of area and holes, box and centroid in units of the largest grid's side, the
    centroid relative to its own grid, the filled share of its box, the borders of the grid that it
    touches, and the covered share of each of 5 x 5 equal parts of its box.

    The grid has the same features except holes, computed for all visible cells in the box of the
    whole grid. It also has the features OF_GRID: the share of the background, the number of
    objects, the share of the visible cells that has a slot, and the number of objects without a
    slot. Boxes without a free cell between them are adjacent. The grid is adjacent to all objects.

    `background` is a colour, or `majority` for the most frequent colour of each grid (the first of
    equally frequent colours).
    """

    n_colors = 1
    n_features = len(NAMES)

    def __init__(
        self, max_objects: int = 16, connectivity: int = 4, background: int | str = 0
    ) -> None:
        check_slots(max_objects, connectivity, smallest=2)
        if background != "majority" and not (
            isinstance(background, int) and 0 <= background < COLORS
        ):
            raise ValueError(
                f"background: {background!r} is neither a colour from 0 to 9 nor majority"
            )
        self.max_tokens = max_objects
        self.connectivity = connectivity
        self.background = background
        self.fingerprint = (
            f"slots-1 objects={max_objects} connectivity={connectivity} background={background}"
        )

    def __call__(self, grids: Sequence[Grid], rows: Tensor | None = None) -> GridTokens:
        tokens = in_pieces(self._tokens, grids)
        return tokens if rows is None else tokens.rows(rows)

    def _tokens(self, grids: Sequence[Grid]) -> GridTokens:
        cells, n, places = Cells.of(grids), len(grids), self.max_tokens
        ground = (
            _majority(cells) if self.background == "majority" else np.full(n, int(self.background))
        )
        objects = Objects.of(cells, foreground_key(cells, ground), self.connectivity)
        (kept,) = np.nonzero(objects.rank < places - 1)
        at = (objects.grid[kept], objects.rank[kept] + 1)
        real = cells.height > 0
        mask = np.zeros((n, places), dtype=bool)
        mask[real, 0] = True
        mask[at] = True
        colors = np.full((n, places, 1), NO_COLOR, dtype=np.int64)
        colors[real, 0, 0] = ground[real]
        colors[*at, 0] = cells.color[objects.cell[kept]]
        features = np.zeros((n, places, self.n_features), dtype=np.float32)
        features[:, 0] = _grid_features(cells, objects, kept) * real[:, None]
        features[at] = _object_features(cells, objects, kept)
        boxes = np.zeros((4, n, places), dtype=np.int64)
        boxes[(slice(None), *at)] = [
            side[kept] for side in (objects.top, objects.left, objects.bottom, objects.right)
        ]
        boxes[2:, :, 0] = LARGEST  # the grid's box holds all others
        adjacency = boxes_touch(boxes, mask)
        return GridTokens(
            *(torch.from_numpy(array) for array in (colors, features, mask, adjacency))
        )

    def places(self, grids: Sequence[Grid]) -> int:
        """Returns the number of slots, which is the same for all grids."""
        return self.max_tokens


def in_pieces(tokens: Callable[[Sequence[Grid]], GridTokens], grids: Sequence[Grid]) -> GridTokens:
    """Computes tokens in pieces of 256 grids, so that arrays over cells fit the CPU cache."""
    if len(grids) <= _PIECE:
        return tokens(grids)
    return GridTokens.cat(
        [tokens(grids[start : start + _PIECE]) for start in range(0, len(grids), _PIECE)]
    )


def check_slots(max_objects: int, connectivity: int, smallest: int = 1) -> None:
    """Raises ValueError for an invalid number of objects or connectivity."""
    if not (isinstance(max_objects, int) and smallest <= max_objects <= LARGEST * LARGEST + 1):
        raise ValueError(
            f"max_objects: {max_objects!r} is not a whole number from {smallest} to"
            f" {LARGEST**2 + 1}"
        )
    if connectivity not in (4, 8):
        raise ValueError(f"connectivity: {connectivity!r} is neither 4 nor 8")


def _majority(cells: Cells) -> Ints:
    """Returns the most frequent colour (n,) of each grid, the first of equally frequent colours."""
    n = len(cells.height)
    both = cells.grid * COLORS + cells.color
    counts = np.bincount(both, minlength=n * COLORS).reshape(n, COLORS)
    first = first_places(both, n * COLORS).reshape(n, COLORS)
    frequent = counts == counts.max(1, keepdims=True)
    return np.argmin(np.where(frequent, first, len(cells) + 1), axis=1)


def _grid_features(cells: Cells, objects: Objects, kept: Ints) -> np.ndarray:
    """Returns the features (n, F) of whole grids."""
    n, runs, height, width = len(cells.height), objects.runs, cells.height, cells.width
    grid, size = runs.grid, np.maximum(height * width, 1)
    visible = np.bincount(objects.grid, objects.area, minlength=n)
    slotted = np.bincount(objects.grid[kept], objects.area[kept], minlength=n)
    unslotted = objects.count - np.bincount(objects.grid[kept], minlength=n)
    y, x = _centroids(runs.row, runs.left, runs.right, grid, visible)
    edges = [
        runs.row == 0,
        runs.left == 0,
        runs.row == height[grid] - 1,
        runs.right == width[grid] - 1,
    ]
    columns = [
        np.ones(n),
        1 - visible / size,
        np.log1p(objects.count) / _LARGEST_LOG,
        np.where(visible, slotted / np.maximum(visible, 1), 1.0),
        np.log1p(unslotted) / _LARGEST_LOG,
        np.log1p(visible) / _LARGEST_LOG,
        height / LARGEST,
        width / LARGEST,
        y / LARGEST,
        x / LARGEST,
        np.zeros(n),
        np.zeros(n),
        y / np.maximum(height, 1),
        x / np.maximum(width, 1),
        visible / size,
        *(np.bincount(grid[edge], minlength=n) > 0 for edge in edges),
        np.zeros(n),
    ]
    drawn = drawings(grid, n, runs.row, height[grid], runs.left, runs.right, width[grid])
    return np.concatenate([np.stack(columns, axis=1), drawn], axis=1)


def _object_features(cells: Cells, objects: Objects, kept: Ints) -> np.ndarray:
    """Returns the features (k, F) of the k objects that have a slot."""
    k, grid, area = len(kept), objects.grid[kept], objects.area[kept]
    top, left, bottom, right = (
        side[kept] for side in (objects.top, objects.left, objects.bottom, objects.right)
    )
    height, width = bottom - top + 1, right - left + 1
    tall, wide = cells.height[grid], cells.width[grid]
    number = np.full(len(objects), NOTHING)
    number[kept] = np.arange(k)
    (chosen,) = np.nonzero(number[objects.label] != NOTHING)
    label = number[objects.label[chosen]]
    row, start, end = (
        objects.runs.row[chosen],
        objects.runs.left[chosen],
        objects.runs.right[chosen],
    )
    y, x = _centroids(row, start, end, label, area)
    columns = [
        *np.zeros((len(OF_GRID), k)),
        np.log1p(area) / _LARGEST_LOG,
        height / LARGEST,
        width / LARGEST,
        y / LARGEST,
        x / LARGEST,
        top / LARGEST,
        left / LARGEST,
        y / tall,
        x / wide,
        area / (height * width),
        top == 0,
        left == 0,
        bottom == tall - 1,
        right == wide - 1,
        np.log1p(objects.holes()[kept]),
    ]
    corner = left[label]
    drawn = drawings(
        label, k, row - top[label], height[label], start - corner, end - corner, width[label]
    )
    return np.concatenate([np.stack(columns, axis=1), drawn], axis=1)


def _centroids(
    row: Ints, left: Ints, right: Ints, label: Ints, area: Ints
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centroids (y, x), each (m,), of the runs (r,) of each label.

    They are the mean of the cells' centres in cells from the upper left corner, 0 without cells.
    """
    cells, m = right - left + 1, len(area)
    y = np.bincount(label, (row + 0.5) * cells, minlength=m)
    x = np.bincount(label, (left + right + 1) * cells, minlength=m) / 2
    return y / np.maximum(area, 1), x / np.maximum(area, 1)
