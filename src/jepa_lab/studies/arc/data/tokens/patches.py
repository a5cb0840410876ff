"""Tokens of square patches of cells. The colour of every cell is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens
from jepa_lab.studies.arc.data.task import LARGEST, Grid
from jepa_lab.studies.arc.data.tokens.cells import Cells, Ints


class Patches:
    """Patches of `patch` x `patch` cells, row by row from the upper left corner of the grid.

    `colors` are the cells of the patch, 10 outside the grid. `features` are row and column of the
    patch relative to the side of the largest grid, and the share of its cells inside the grid.
    Patches with a common edge or corner are adjacent. The number of places is that of the largest
    grid of the call.
    """

    n_features = 3

    def __init__(self, patch: int = 3) -> None:
        if not (isinstance(patch, int) and 1 <= patch <= LARGEST):
            raise ValueError(f"patch: {patch!r} is not a whole number from 1 to {LARGEST}")
        self.patch = patch
        self.n_colors = patch * patch
        self.max_tokens = (-(-LARGEST // patch)) ** 2
        self.fingerprint = f"patches-1 patch={patch}"

    def __call__(self, grids: Sequence[Grid]) -> GridTokens:
        cells, p, n = Cells.of(grids), self.patch, len(grids)
        across = -(-cells.width // p)
        needed = -(-cells.height // p) * across
        places = self.places(grids)
        number = cells.row // p * across[cells.grid] + cells.col // p
        colors = np.full((n, places, self.n_colors), NO_COLOR, dtype=np.int64)
        colors[cells.grid, number, cells.row % p * p + cells.col % p] = cells.color
        mask = np.arange(places) < needed[:, None]
        row, col = np.divmod(np.arange(places), np.maximum(across, 1)[:, None])
        inside = (colors != NO_COLOR).mean(2)
        features = (
            np.stack([row * p / LARGEST, col * p / LARGEST, inside], axis=2) * mask[:, :, None]
        )
        return GridTokens(
            torch.from_numpy(colors),
            torch.from_numpy(features.astype(np.float32)),
            torch.from_numpy(mask),
            torch.from_numpy(_adjacency(across, needed, places)),
        )

    def places(self, grids: Sequence[Grid]) -> int:
        """Returns the number of patches of the largest grid."""
        return max(
            [
                1,
                *(
                    -(-grid.shape[0] // self.patch) * -(-grid.shape[1] // self.patch)
                    for grid in grids
                ),
            ]
        )


def _adjacency(across: Ints, needed: Ints, places: int) -> np.ndarray:
    """Returns the adjacency (n, places, places), computed once per shape of grid."""
    shapes, which = np.unique(np.stack([across, needed], axis=1), axis=0, return_inverse=True)
    row, col = np.divmod(np.arange(places), np.maximum(shapes[:, :1], 1))
    mask = np.arange(places) < shapes[:, 1:]
    near = (abs(row[:, :, None] - row[:, None, :]) <= 1) & (
        abs(col[:, :, None] - col[:, None, :]) <= 1
    )
    near &= mask[:, :, None] & mask[:, None, :]
    diagonal = np.arange(places)
    near[:, diagonal, diagonal] = False
    return near[which]
