"""Input grids of synthetic tasks: separate objects, or the noise of the published generator."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from jepa_lab.studies.arc.data.task import Grid
from jepa_lab.studies.arc.data.transform import apply_symmetry

MOST_OBJECTS = 8
CELLS_EACH = 14  # cells of a grid per attempted object
PLACES_TRIED = 6
SHAPES = ("rectangle", "line", "corner", "tee", "box", "blob")


def object_scene(rng: Random, height: int, width: int, colors: Sequence[int]) -> Grid:
    """Draws a grid (height, width) with objects of one colour each, separated by empty cells.

    The number of attempted objects is 2 to 8, depending on the area. At least one object fits.
    """
    grid = np.zeros((height, width), dtype=np.uint8)
    for _ in range(rng.randint(2, max(2, min(MOST_OBJECTS, height * width // CELLS_EACH)))):
        mask = draw_shape(rng, rng.choice(SHAPES), min(5, height), min(5, width))
        tall, wide = mask.shape
        for _ in range(PLACES_TRIED):
            y, x = rng.randint(0, height - tall), rng.randint(0, width - wide)
            around = grid[max(0, y - 1) : y + tall + 1, max(0, x - 1) : x + wide + 1]
            if not around.any():
                grid[y : y + tall, x : x + wide][mask] = rng.choice(colors)
                break
    return grid


def noise_scene(rng: Random, height: int, width: int, colors: Sequence[int], fill: float) -> Grid:
    """Draws a grid (height, width) of independent cells, as published. Each cell is, with
    probability `fill`, uniform among the colours and the background, else the background."""
    palette = (0, *colors)
    cells = [rng.choice(palette) if rng.random() < fill else 0 for _ in range(height * width)]
    return np.array(cells, dtype=np.uint8).reshape(height, width)


def draw_shape(rng: Random, name: str, height: int, width: int) -> np.ndarray:
    """Draws a bool mask of a shape, cropped to its bounding box of at most (height, width) cells.

    The shapes are rectangle, line, corner (an L), tee, box (hollow, 3 to 5 cells a side) and blob
    (up to 7 connected cells). A rectangle is drawn if there is no space for another shape.
    """
    if min(height, width) < 3 and name != "line":
        name = "rectangle"
    if name == "line":
        upright = rng.random() < 0.5 if min(height, width) > 1 else height > 1
        length = rng.randint(min(2, max(height, width)), height if upright else width)
        return np.ones((length, 1) if upright else (1, length), dtype=bool)
    if name == "rectangle":
        return np.ones((rng.randint(1, height), rng.randint(1, width)), dtype=bool)
    if name == "blob":
        return _blob(rng)
    mask = np.zeros((rng.randint(3, min(height, 5)), rng.randint(3, min(width, 5))), dtype=bool)
    if name == "box":
        mask[[0, -1]] = mask[:, [0, -1]] = True
        return mask
    side = min(mask.shape)
    # An odd width gives a middle column. No side is longer than `side`, so that any symmetry fits.
    mask = np.zeros((side, side if side % 2 else side - 1), dtype=bool)
    mask[0] = True
    mask[:, mask.shape[1] // 2 if name == "tee" else 0] = True
    return apply_symmetry(mask, rng.randrange(8))


def _blob(rng: Random) -> np.ndarray:
    """Draws connected cells within 3 x 3, each new cell beside an existing cell."""
    cells = {(1, 1)}
    for _ in range(rng.randint(2, 6)):
        y, x = rng.choice(sorted(cells))
        dy, dx = rng.choice(((0, 1), (1, 0), (0, -1), (-1, 0)))
        cells.add((min(2, max(0, y + dy)), min(2, max(0, x + dx))))
    mask = np.zeros((3, 3), dtype=bool)
    mask[tuple(zip(*cells, strict=True))] = True
    return mask[np.ix_(mask.any(axis=1), mask.any(axis=0))]
