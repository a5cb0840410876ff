"""Plain tokenisers of one ARC grid, written as loops over its cells. The vectorised tokenisers are
tested against them and timed against them."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

EDGES = [(-1, 0), (1, 0), (0, -1), (0, 1)]
NEIGHBOURS = {4: EDGES, 8: [*EDGES, (-1, -1), (-1, 1), (1, -1), (1, 1)]}


@dataclass
class PlainObject:
    """The cells of an object, in the order in which they were found, with its box (ends included)
    and its colours."""

    cells: list[tuple[int, int]] = field(default_factory=list)
    colors: Counter[int] = field(default_factory=Counter)

    def close(self, grid: list[list[int]]) -> PlainObject:
        """Counts the colours in raster order, and computes the box."""
        self.cells.sort()
        for row, col in self.cells:
            self.colors[grid[row][col]] += 1
        self.top, self.bottom = self.cells[0][0], self.cells[-1][0]
        self.left, self.right = min(col for _, col in self.cells), max(col for _, col in self.cells)
        return self


def plain_objects(
    grid: list[list[int]],
    *,
    background: int = 0,
    connectivity: int = 4,
    respect_colors: bool = True,
) -> list[PlainObject]:
    """Returns the connected components, largest first, equal ones in raster order."""
    height, width = len(grid), len(grid[0])
    seen = [[False] * width for _ in range(height)]
    objects = []
    for row in range(height):
        for col in range(width):
            if seen[row][col] or grid[row][col] == background:
                continue
            found, queue = PlainObject(), deque([(row, col)])
            seen[row][col] = True
            while queue:
                y, x = queue.popleft()
                found.cells.append((y, x))
                for dy, dx in NEIGHBOURS[connectivity]:
                    v, u = y + dy, x + dx
                    if (
                        not (0 <= v < height and 0 <= u < width)
                        or seen[v][u]
                        or grid[v][u] == background
                    ):
                        continue
                    if not respect_colors or grid[v][u] == grid[row][col]:
                        seen[v][u] = True
                        queue.append((v, u))
            objects.append(found.close(grid))
    return sorted(objects, key=lambda found: -len(found.cells))


def touching(one: PlainObject, other: PlainObject) -> bool:
    """Returns whether no free row and no free column lies between the boxes."""
    apart = one.bottom + 1 < other.top or other.bottom + 1 < one.top
    return not (apart or one.right + 1 < other.left or other.right + 1 < one.left)


def plain_published_slots(
    array: np.ndarray,
    *,
    max_objects: int = 16,
    connectivity: int = 4,
    respect_colors: bool = True,
    normalize: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the 23 published features of the largest objects, their mask and their adjacency."""
    grid = array.tolist()
    tall, wide = (len(grid), len(grid[0])) if normalize else (1, 1)
    objects = plain_objects(grid, connectivity=connectivity, respect_colors=respect_colors)[
        :max_objects
    ]
    tokens = np.zeros((max_objects, 23), dtype=np.float32)
    mask = np.zeros(max_objects, dtype=bool)
    adjacency = np.zeros((max_objects, max_objects), dtype=bool)
    for i, found in enumerate(objects):
        area, inside = len(found.cells), set(found.cells)
        perimeter = sum(
            (y + dy, x + dx) not in inside for y, x in found.cells for dy, dx in NEIGHBOURS[4]
        )
        height, width = found.bottom - found.top + 1, found.right - found.left + 1
        row = [
            area / (tall * wide),
            perimeter / (tall * wide),
            height / tall,
            width / wide,
            width / height,
        ]
        row += [len(found.colors), found.colors.most_common(1)[0][0]]
        row += [
            sum(y for y, _ in found.cells) / area / tall,
            sum(x for _, x in found.cells) / area / wide,
        ]
        row += [found.top / tall, found.left / wide, found.bottom / tall, found.right / wide]
        row += [found.colors[color] / (tall * wide) for color in sorted(found.colors)]
        tokens[i, : len(row)] = row
        mask[i] = True
        for j in range(i):
            adjacency[i, j] = adjacency[j, i] = touching(found, objects[j])
    return tokens, mask, adjacency


def plain_object_slots(
    array: np.ndarray, *, max_objects: int = 16, connectivity: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the tokens of jepa_lab's slots with black as the background, their mask, adjacency
    and colours (N,)."""
    grid = array.tolist()
    objects = plain_objects(grid, connectivity=connectivity)
    kept = objects[: max_objects - 1]
    tokens = np.zeros((max_objects, 45), dtype=np.float32)
    mask = np.zeros(max_objects, dtype=bool)
    adjacency = np.zeros((max_objects, max_objects), dtype=bool)
    colors = np.full(max_objects, 10)
    tokens[0] = _grid_token(grid, objects, kept)
    mask[0], colors[0] = True, 0
    for i, found in enumerate(kept, start=1):
        tokens[i] = _object_token(grid, found, connectivity)
        mask[i], colors[i] = True, grid[found.cells[0][0]][found.cells[0][1]]
        adjacency[i, 0] = adjacency[0, i] = True
        for j in range(1, i):
            adjacency[i, j] = adjacency[j, i] = touching(found, kept[j - 1])
    return tokens, mask, adjacency, colors


def _grid_token(
    grid: list[list[int]], objects: list[PlainObject], kept: list[PlainObject]
) -> list[float]:
    height, width = len(grid), len(grid[0])
    cells = [cell for found in objects for cell in found.cells]
    visible = len(cells)
    y = sum(row + 0.5 for row, _ in cells) / max(visible, 1)
    x = sum(col + 0.5 for _, col in cells) / max(visible, 1)
    slotted = sum(len(found.cells) for found in kept) / visible if visible else 1.0
    token = [
        1.0,
        1 - visible / (height * width),
        _log(len(objects)),
        slotted,
        _log(len(objects) - len(kept)),
    ]
    token += [
        _log(visible),
        height / 30,
        width / 30,
        y / 30,
        x / 30,
        0.0,
        0.0,
        y / height,
        x / width,
    ]
    token.append(visible / (height * width))
    token += [any(row == 0 for row, _ in cells), any(col == 0 for _, col in cells)]
    token += [
        any(row == height - 1 for row, _ in cells),
        any(col == width - 1 for _, col in cells),
        0.0,
    ]
    return token + _drawing(cells, 0, 0, height, width)


def _object_token(grid: list[list[int]], found: PlainObject, connectivity: int) -> list[float]:
    tall, wide, area = len(grid), len(grid[0]), len(found.cells)
    height, width = found.bottom - found.top + 1, found.right - found.left + 1
    y, x = (
        sum(row + 0.5 for row, _ in found.cells) / area,
        sum(col + 0.5 for _, col in found.cells) / area,
    )
    token = [0.0] * 5 + [
        _log(area),
        height / 30,
        width / 30,
        y / 30,
        x / 30,
        found.top / 30,
        found.left / 30,
    ]
    token += [y / tall, x / wide, area / (height * width)]
    token += [found.top == 0, found.left == 0, found.bottom == tall - 1, found.right == wide - 1]
    token.append(math.log1p(plain_holes(found, connectivity)))
    return token + _drawing(found.cells, found.top, found.left, height, width)


def plain_holes(found: PlainObject, connectivity: int) -> int:
    """Returns the number of holes: parts outside the object that do not reach the outside of its
    box.

    With connectivity 4 the parts are connected across corners too, with 8 across edges only.
    """
    inside = set(found.cells)
    rows, cols = range(found.top - 1, found.bottom + 2), range(found.left - 1, found.right + 2)
    free = {(row, col) for row in rows for col in cols} - inside
    parts = 0
    while free:
        parts += 1
        queue = [free.pop()]
        while queue:
            y, x = queue.pop()
            for dy, dx in NEIGHBOURS[12 - connectivity]:
                if (y + dy, x + dx) in free:
                    free.remove((y + dy, x + dx))
                    queue.append((y + dy, x + dx))
    return parts - 1


def _drawing(
    cells: list[tuple[int, int]], top: int, left: int, height: int, width: int
) -> list[float]:
    """Returns the area that the cells cover in each of 5 x 5 equal parts of the box."""
    drawing = [[0.0] * 5 for _ in range(5)]
    for row, col in cells:
        y, x = (row - top) * 5 / height, (col - left) * 5 / width
        below, beside = y + 5 / height, x + 5 / width
        for i in range(int(y), min(5, math.ceil(below))):
            for j in range(int(x), min(5, math.ceil(beside))):
                covered = max(0.0, min(below, i + 1) - max(y, i)) * max(
                    0.0, min(beside, j + 1) - max(x, j)
                )
                drawing[i][j] += covered
    return [part for line in drawing for part in line]


def _log(count: int) -> float:
    return math.log1p(count) / math.log1p(900)


def plain_patches(
    array: np.ndarray, *, patch: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns the tokens of jepa_lab's patches, with places for the largest grid: features, mask,
    adjacency, colours."""
    grid, side = array.tolist(), -(-30 // patch)
    features = np.zeros((side * side, 3), dtype=np.float32)
    mask = np.zeros(side * side, dtype=bool)
    adjacency = np.zeros((side * side, side * side), dtype=bool)
    colors = np.full((side * side, patch * patch), 10)
    places: dict[tuple[int, int], int] = {}
    for top in range(0, len(grid), patch):
        for left in range(0, len(grid[0]), patch):
            place = places[top // patch, left // patch] = len(places)
            inside = 0
            for row in range(top, min(top + patch, len(grid))):
                for col in range(left, min(left + patch, len(grid[0]))):
                    colors[place, (row - top) * patch + col - left] = grid[row][col]
                    inside += 1
            features[place] = (top / 30, left / 30, inside / patch**2)
            mask[place] = True
    for (row, col), place in places.items():
        for dy, dx in NEIGHBOURS[8]:
            if (row + dy, col + dx) in places:
                adjacency[place, places[row + dy, col + dx]] = True
    return features, mask, adjacency, colors
