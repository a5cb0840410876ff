"""Primitives of synthetic rules: functions from grid to grid, with parameters that are the same for
every grid of a task.

The published generator has ten: mirror_x, mirror_y, rotate90, translate, recolor, invert_palette,
threshold_gt, flood_fill, extract_shape and merge_touching. The others work on objects. Colour 0 is
the background.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from jepa_lab.studies.arc.data.task import LARGEST, Grid

EIGHT = np.ones((3, 3), dtype=bool)
# counter-clockwise quarter turns after which the direction points down
TURNS = {"down": 0, "left": 1, "up": 2, "right": 3}


class Undefined(ValueError):
    """The primitive has no defined result for this grid."""


def mirror_x(grid: Grid) -> Grid:
    """Flips the grid upside down."""
    return grid[::-1]


def mirror_y(grid: Grid) -> Grid:
    """Flips the grid left to right."""
    return grid[:, ::-1]


def rotate90(grid: Grid, k: int) -> Grid:
    """Rotates the grid by k quarter turns counter-clockwise."""
    return np.rot90(grid, k)


def translate(grid: Grid, dx: int, dy: int, fill: int = 0) -> Grid:
    """Moves the content dy down and dx right. Cells that leave are lost, and the gap is `fill`."""
    height, width = grid.shape
    result = np.full_like(grid, fill)
    result[max(0, dy) : max(0, height + dy), max(0, dx) : max(0, width + dx)] = grid[
        max(0, -dy) : max(0, height - dy), max(0, -dx) : max(0, width - dx)
    ]
    return result


def recolor(grid: Grid, source: int, target: int) -> Grid:
    """Recolours every cell of the colour `source` to `target`."""
    return np.where(grid == source, np.uint8(target), grid)


def invert_palette(grid: Grid) -> Grid:
    """Reverses the order of the colours that are present, including the background: the lowest
    becomes the highest, and so on."""
    colors, places = np.unique(grid, return_inverse=True)
    return colors[::-1][places].reshape(grid.shape)


def threshold_gt(grid: Grid, threshold: int, low: int, high: int) -> Grid:
    """Sets cells with a colour above the threshold to `high`, all others to `low`."""
    return np.where(grid > threshold, np.uint8(high), np.uint8(low))


def flood_fill(grid: Grid, y: int, x: int, fill: int) -> Grid:
    """Fills the 4-connected region of one colour around (y, x) with `fill`. Raises Undefined if the
    grid has no such cell."""
    if y >= grid.shape[0] or x >= grid.shape[1]:
        raise Undefined(f"no cell {y}, {x} in a grid of {grid.shape}")
    labels, _ = ndimage.label(grid == grid[y, x])
    return np.where(labels == labels[y, x], np.uint8(fill), grid)


def extract_shape(grid: Grid, which: str, color: int = 0) -> Grid:
    """Cuts out one object with its bounding box: the `largest`, the `smallest`, or the only one of
    a `color`. The rest of the box becomes empty. (The published version takes the object at a
    coordinate, which is an unrelated object in every input.)"""
    mask = _object(grid, which, color)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return (grid * mask)[box]


def merge_touching(grid: Grid, value_a: int, value_b: int, target: int) -> Grid:
    """Sets cells of either colour that touch the other colour, also at corners, to `target`."""
    a, b = grid == value_a, grid == value_b
    return np.where(
        (a & spread_mask(b, eight=True)) | (b & spread_mask(a, eight=True)), np.uint8(target), grid
    )


def gravity(grid: Grid, direction: str) -> Grid:
    """Lets every cell fall until it lies on another cell or at the edge."""
    turned = np.rot90(grid, TURNS[direction])
    order = np.argsort(turned != 0, axis=0, kind="stable")
    return np.rot90(np.take_along_axis(turned, order, axis=0), -TURNS[direction])


def fall(grid: Grid, direction: str) -> Grid:
    """Moves every cell with a gap somewhere below it down by one. Repeated until nothing changes,
    it equals gravity."""
    turned = np.rot90(grid, TURNS[direction])
    empty = turned == 0
    gaps_below = np.cumsum(empty[::-1], axis=0)[::-1] - empty
    moving = ~empty & (gaps_below > 0)
    result = np.where(moving, np.uint8(0), turned)
    result[1:][moving[:-1]] = turned[:-1][moving[:-1]]
    return np.rot90(result, -TURNS[direction])


def extend(grid: Grid, color: int, direction: str) -> Grid:
    """Extends cells of one colour into the empty cell below them. Repeated, it draws a ray."""
    turned = np.rot90(grid, TURNS[direction]).copy()
    growing = (turned[:-1] == color) & (turned[1:] == 0)
    turned[1:][growing] = color
    return np.rot90(turned, -TURNS[direction])


def spread(grid: Grid, color: int) -> Grid:
    """Gives empty cells beside a cell of the colour this colour. Repeated until nothing changes, it
    is a flood fill."""
    return np.where((grid == 0) & spread_mask(grid == color), np.uint8(color), grid)


def outline(grid: Grid, color: int) -> Grid:
    """Gives empty cells that touch a filled cell, also at corners, the colour."""
    return np.where((grid == 0) & spread_mask(grid != 0, eight=True), np.uint8(color), grid)


def peel(grid: Grid) -> Grid:
    """Empties cells that are beside an empty cell. Outside the grid counts as empty."""
    return np.where(spread_mask(grid == 0, outside=True), np.uint8(0), grid)


def hollow(grid: Grid) -> Grid:
    """Empties cells whose four neighbours have the same colour."""
    inner = np.zeros(grid.shape, dtype=bool)
    core = grid[1:-1, 1:-1]
    inner[1:-1, 1:-1] = (
        (core == grid[:-2, 1:-1])
        & (core == grid[2:, 1:-1])
        & (core == grid[1:-1, :-2])
        & (core == grid[1:-1, 2:])
    )
    return np.where(inner, np.uint8(0), grid)


def fill_holes(grid: Grid, color: int) -> Grid:
    """Gives empty cells without a 4-connected path to the edge the colour."""
    labels, _ = ndimage.label(grid == 0)
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.where((labels > 0) & ~np.isin(labels, edges), np.uint8(color), grid)


def keep_object(grid: Grid, which: str, color: int = 0) -> Grid:
    """Empties all cells except those of one object. `which` is as in extract_shape."""
    return grid * _object(grid, which, color)


def recolor_object(grid: Grid, which: str, target: int, color: int = 0) -> Grid:
    """Recolours one object to `target`. `which` is as in extract_shape."""
    return np.where(_object(grid, which, color), np.uint8(target), grid)


def keep_color(grid: Grid, color: int) -> Grid:
    """Empties cells of other colours."""
    return np.where(grid == color, grid, np.uint8(0))


def crop_to_content(grid: Grid) -> Grid:
    """Crops to the bounding box of all content. Raises Undefined for an empty grid."""
    rows, columns = np.flatnonzero(grid.any(axis=1)), np.flatnonzero(grid.any(axis=0))
    if not len(rows):
        raise Undefined("an empty grid has no content")
    return grid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def border(grid: Grid, color: int) -> Grid:
    """Gives the outermost cells of the grid the colour."""
    result = np.full_like(grid, color)
    result[1:-1, 1:-1] = grid[1:-1, 1:-1]
    return result


def append_mirror(grid: Grid, direction: str) -> Grid:
    """Appends the mirror image beside (`right`) or below (`down`) the grid. Raises Undefined above
    30 cells per side."""
    if direction == "down":
        return _within_limits(np.concatenate([grid, grid[::-1]], axis=0))
    return _within_limits(np.concatenate([grid, grid[:, ::-1]], axis=1))


def scale_up(grid: Grid, k: int) -> Grid:
    """Enlarges every cell to k x k cells. Raises Undefined above 30 cells per side."""
    return _within_limits(np.repeat(np.repeat(grid, k, axis=0), k, axis=1))


def spread_mask(mask: np.ndarray, eight: bool = False, outside: bool = False) -> np.ndarray:
    """Returns a mask (H, W) bool of cells beside a cell of `mask`; with `eight` also at corners.

    A cell is not beside itself. `outside` is the mask value of the cells around the grid.
    """
    height, width = mask.shape
    wide = np.full((height + 2, width + 2), outside)
    wide[1:-1, 1:-1] = mask
    result = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    if eight:
        result |= wide[:-2, :-2] | wide[:-2, 2:] | wide[2:, :-2] | wide[2:, 2:]
    return result


def objects(grid: Grid) -> list[np.ndarray]:
    """Returns the 4-connected regions of one colour other than the background, as (H, W) bool
    masks."""
    masks: list[np.ndarray] = []
    for color in np.flatnonzero(np.bincount(grid.ravel(), minlength=2)[1:]) + 1:
        labels, n = ndimage.label(grid == color)
        masks += [labels == number for number in range(1, n + 1)]
    return masks


PRIMITIVES: dict[str, Callable[..., Grid]] = {
    function.__name__: function
    for function in (
        *(
            mirror_x,
            mirror_y,
            rotate90,
            translate,
            recolor,
            invert_palette,
            threshold_gt,
            flood_fill,
            extract_shape,
        ),
        *(
            merge_touching,
            gravity,
            fall,
            extend,
            spread,
            outline,
            peel,
            hollow,
            fill_holes,
            keep_object,
        ),
        *(recolor_object, keep_color, crop_to_content, border, append_mirror, scale_up),
    )
}


def apply_primitive(name: str, grid: Grid, params: dict[str, Any]) -> Grid:
    """Applies a primitive and returns a contiguous grid. Raises Undefined if it has no result."""
    return np.ascontiguousarray(PRIMITIVES[name](grid, **params), dtype=np.uint8)


def _object(grid: Grid, which: str, color: int) -> np.ndarray:
    """Returns the mask of one object. Raises Undefined unless exactly one object qualifies."""
    masks = objects(np.where(grid == color, grid, np.uint8(0)) if which == "color" else grid)
    areas = [int(mask.sum()) for mask in masks]
    if which == "color":
        chosen = list(range(len(masks)))
    else:
        best = (max if which == "largest" else min)(areas, default=0)
        chosen = [number for number, area in enumerate(areas) if area == best]
    if len(chosen) != 1:
        raise Undefined(f"{len(chosen)} objects are the {which}")
    return masks[chosen[0]]


def _within_limits(grid: Grid) -> Grid:
    if max(grid.shape) > LARGEST:
        raise Undefined(f"{grid.shape} cells are more than {LARGEST} a side")
    return grid
