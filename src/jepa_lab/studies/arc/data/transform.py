"""Invertible transforms of grids: a colour permutation, a symmetry of the square, a shift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

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
) -> list[Grid]:
    """Applies `transforms[rows[i]]` to `grids[i]` for all grids at once.

    Raises ValueError as `Transform.apply` does.
    """
    owner = np.asarray(rows, dtype=np.int64)
    if len(owner) != len(grids):
        raise ValueError(
            f"{len(grids)} grids, but {len(owner)} rows; one row for each grid is needed"
        )
    if not len(grids):
        return []
    sizes = np.array([grid.size for grid in grids])
    cells = np.concatenate([grid.reshape(-1) for grid in grids])
    recolored = transforms.palettes.reshape(-1)[np.repeat(owner * COLORS, sizes) + cells]
    ends = np.cumsum(sizes).tolist()
    symmetries, fills = transforms.symmetries.tolist(), transforms.new_backgrounds().tolist()
    shifts = list(map(tuple, transforms.shifts.tolist()))
    result, start = [], 0
    for grid, end, row in zip(grids, ends, owner.tolist(), strict=True):
        turned = apply_symmetry(recolored[start:end].reshape(grid.shape), symmetries[row])
        result.append(shift_grid(turned, shifts[row], fills[row]))
        start = end
    return result


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
