"""Invertible transforms of grids: a colour permutation, a symmetry of the square, a shift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from jepa_lab.studies.arc.data.flat_grids import FlatGrids
from jepa_lab.studies.arc.data.task import COLORS, LARGEST, Grid

SYMMETRIES = 8
# Symmetry s: transpose if s >= 4, then s % 4 quarter turns counter-clockwise. Each is a matrix on
# (down, right).
_TURNS = [np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), turns) for turns in range(4)]
MATRICES = np.stack([*_TURNS, *(turn @ np.array([[0, 1], [1, 0]]) for turn in _TURNS)])
_NUMBERS = {matrix.tobytes(): number for number, matrix in enumerate(MATRICES)}
# Room is (top, bottom, left, right); a quarter turn counter-clockwise brings the right side to the
# top
_TURNED_ROOM = [3, 2, 0, 1]


@dataclass(frozen=True)
class Transform:
    """A colour permutation, then a symmetry (0 to 7), then a shift (down, right) in cells.

    `palette` (10,) maps each colour to its new colour. `background` is the colour of empty cells in
    the grids before the transform.
    """

    palette: tuple[int, ...] = tuple(range(COLORS))
    symmetry: int = 0
    shift: tuple[int, int] = (0, 0)
    background: int = 0

    def apply(self, grid: Grid) -> Grid:
        """Transforms a grid (H, W) into (H, W), or (W, H) if the symmetry swaps the sides.

        Raises ValueError if the shift would push a non-background cell out of the grid.
        """
        turned = apply_symmetry(np.array(self.palette, dtype=np.uint8)[grid], self.symmetry)
        return shift_grid(turned, self.shift, self.palette[self.background])

    def inverse(self) -> Transform:
        """Returns the inverse: inverse().apply(apply(grid)) equals the grid."""
        palette = [0] * COLORS
        for old, new in enumerate(self.palette):
            palette[new] = old
        back = MATRICES[self.symmetry].T
        dy, dx = -(back @ np.array(self.shift))
        return Transform(
            tuple(palette),
            _NUMBERS[_bytes(back)],
            (int(dy), int(dx)),
            self.palette[self.background],
        )

    def compose(self, first: Transform) -> Transform:
        """Returns `first`, then this transform: compose(first).apply(x) = apply(first.apply(x)).

        Raises ValueError unless `first` maps its background colour to the background of this
        transform.
        """
        if self.background != first.palette[first.background]:
            raise ValueError(
                f"background {first.background} becomes {first.palette[first.background]}, not"
                f" {self.background}"
            )
        matrix = MATRICES[self.symmetry]
        dy, dx = matrix @ np.array(first.shift) + np.array(self.shift)
        return Transform(
            tuple(self.palette[color] for color in first.palette),
            _NUMBERS[_bytes(matrix @ MATRICES[first.symmetry])],
            (int(dy), int(dx)),
            first.background,
        )


@dataclass(frozen=True)
class Transforms:
    """B transforms. palettes: (B, 10) uint8; symmetries: (B,); shifts: (B, 2); backgrounds: (B,).

    All but the palettes are int64.
    """

    palettes: np.ndarray
    symmetries: np.ndarray
    shifts: np.ndarray
    backgrounds: np.ndarray

    def __len__(self) -> int:
        return len(self.symmetries)

    def __getitem__(self, row: int) -> Transform:
        palette, (dy, dx) = self.palettes[row].tolist(), self.shifts[row].tolist()
        return Transform(
            tuple(palette), int(self.symmetries[row]), (dy, dx), int(self.backgrounds[row])
        )

    def new_backgrounds(self) -> np.ndarray:
        """Returns the colour (B,) int64 of empty cells after the transform."""
        return self.palettes[np.arange(len(self)), self.backgrounds].astype(np.int64)

    def room_after(self, room: np.ndarray) -> np.ndarray:
        """Returns the free room (B, 4) after the transforms, from the room (B, 4) before them."""
        moved = turn_room(room, self.symmetries)
        dy, dx = self.shifts.T
        return moved + np.stack([dy, -dy, dx, -dx], axis=1)


def apply_many(
    grids: Sequence[Grid], transforms: Transforms, rows: Sequence[int] | np.ndarray
) -> FlatGrids:
    """Applies `transforms[rows[i]]` to `grids[i]` for all grids at once.

    Raises ValueError as `Transform.apply` does.
    """
    owner = np.asarray(rows, dtype=np.int64)
    if len(owner) != len(grids):
        raise ValueError(
            f"{len(grids)} grids, but {len(owner)} rows; one row for each grid is needed"
        )
    flat = FlatGrids.of(grids)
    symmetries, shifts = transforms.symmetries[owner], transforms.shifts[owner]
    first, per_row, per_col = _sources(flat, symmetries)
    swapped = (symmetries >= 4) ^ (symmetries % 2 == 1)
    result = FlatGrids(
        flat.cells,
        np.where(swapped, flat.width, flat.height),
        np.where(swapped, flat.height, flat.width),
    )
    row, col = result.positions()
    of_grid = np.stack([first + flat.starts, per_row, per_col, owner * COLORS])
    start, down, right, palette = np.repeat(of_grid, flat.sizes, axis=1)
    # the palettes of the source and of the result are the same, as are the sizes
    recolored = transforms.palettes.reshape(-1)[palette + flat.cells]
    result.cells = recolored[start + down * row + right * col]
    if shifts.any():
        result.cells = _shifted(result, shifts, transforms.new_backgrounds()[owner], row, col)
    return result


def _sources(flat: FlatGrids, symmetries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns for each grid three numbers (n,): cell (row, col) of the grid after its symmetry is
    cell `first + per_row * row + per_col * col` of the grid before."""
    transposed, turns = symmetries >= 4, symmetries % 4
    # the steps in the source per row and per column of the transposed grid, and its sides
    down, right = np.where(transposed, 1, flat.width), np.where(transposed, flat.width, 1)
    tall = np.where(transposed, flat.width, flat.height) - 1
    wide = np.where(transposed, flat.height, flat.width) - 1
    first = np.choose(turns, [0 * tall, right * wide, down * tall + right * wide, down * tall])
    per_row = np.choose(turns, [down, -right, -down, right])
    per_col = np.choose(turns, [right, down, -right, -down])
    return first, per_row, per_col


def _shifted(
    flat: FlatGrids, shifts: np.ndarray, fills: np.ndarray, row: np.ndarray, col: np.ndarray
) -> np.ndarray:
    """Returns the cells (T,) after a shift of each grid (n, 2). Raises ValueError as `shift_grid`
    does."""
    moved = np.flatnonzero(np.repeat(shifts.any(axis=1), flat.sizes))
    of_grid = np.stack([*shifts.T, flat.height, flat.width, fills, np.arange(len(flat))])
    dy, dx, height, width, fill, grid = np.repeat(of_grid, flat.sizes, axis=1)[:, moved]
    above, left = row[moved] - dy, col[moved] - dx  # where the content comes from
    inside = (above >= 0) & (above < height) & (left >= 0) & (left < width)
    source = np.where(inside, moved - dy * width - dx, moved)
    colors = np.where(inside, flat.cells[source], fill)
    lost = np.bincount(grid, flat.cells[moved] != fill) - np.bincount(grid, colors != fill)
    if lost.any():
        number = int(np.flatnonzero(lost)[0])
        shift_grid(flat[number], tuple(shifts[number].tolist()), int(fills[number]))
    cells = flat.cells.copy()
    cells[moved] = colors
    return cells


def apply_symmetry(grid: Grid, symmetry: int) -> Grid:
    """Applies one of the 8 symmetries of the square; returns a contiguous array.

    The grid is transposed if symmetry >= 4, then rotated by symmetry % 4 quarter turns
    counter-clockwise.
    """
    if symmetry >= 4:
        grid = grid.T
    turns = symmetry % 4
    if turns == 1:
        grid = grid.T[::-1]
    elif turns == 2:
        grid = grid[::-1, ::-1]
    elif turns == 3:
        grid = grid.T[:, ::-1]
    return np.ascontiguousarray(grid)


def shift_grid(grid: Grid, shift: tuple[int, int], fill: int) -> Grid:
    """Moves the content by (down, right) cells and fills the gap with `fill`.

    Raises ValueError if a cell other than `fill` would leave the grid.
    """
    dy, dx = shift
    if dy == 0 and dx == 0:
        return grid
    height, width = grid.shape
    result = np.full_like(grid, fill)
    kept = grid[max(0, -dy) : max(0, height - dy), max(0, -dx) : max(0, width - dx)]
    result[max(0, dy) : max(0, height + dy), max(0, dx) : max(0, width + dx)] = kept
    if np.count_nonzero(kept != fill) != np.count_nonzero(grid != fill):
        raise ValueError(f"a shift by {shift} pushes cells out of a grid of {height}x{width}")
    return result


def free_room(grids: Iterable[Grid], background: int = 0) -> np.ndarray:
    """Returns by how many cells all these grids can be shifted (up, down, left, right), (4,) int64.

    Grids that are all background set no limit; if there are no others, the room is LARGEST.
    """
    room = np.full(4, LARGEST)
    for grid in grids:
        content = grid != background
        rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
        if len(rows):
            height, width = grid.shape
            room = np.minimum(
                room, (rows[0], height - 1 - rows[-1], columns[0], width - 1 - columns[-1])
            )
    return room


def turn_room(room: np.ndarray, symmetries: np.ndarray) -> np.ndarray:
    """Returns the room (B, 4) of grids after their symmetries (B,), from the room before."""
    turned = np.where((symmetries >= 4)[:, None], room[:, [2, 3, 0, 1]], room)
    for turns in (1, 2, 3):
        turned = np.where((symmetries % 4 >= turns)[:, None], turned[:, _TURNED_ROOM], turned)
    return turned


def _bytes(matrix: np.ndarray) -> bytes:
    return np.ascontiguousarray(matrix).tobytes()
