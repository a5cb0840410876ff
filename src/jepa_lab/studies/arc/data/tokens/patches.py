"""Tokens of square patches of cells. The colour of every cell is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from jepa_lab.studies.arc.data.batch import NO_COLOR, GridTokens
from jepa_lab.studies.arc.data.flat_grids import FlatGrids, Ints
from jepa_lab.studies.arc.data.task import LARGEST, Grid

_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


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

    def __call__(self, grids: Sequence[Grid], rows: Tensor | None = None) -> GridTokens:
        flat = FlatGrids.of(grids)
        places = self.places(flat)
        if rows is not None:  # faster than to copy tokens
            flat = flat.take(rows.numpy())
        n = len(flat)
        colors = torch.full((n, places, self.n_colors), NO_COLOR)
        features = torch.zeros(n, places, self.n_features)
        mask = torch.zeros(n, places, dtype=torch.bool)
        adjacency = torch.zeros(n, places, places, dtype=torch.bool)
        if n:
            layouts = [_layout(*shape, self.patch) for shape in flat.shapes]
            number = np.arange(n)
            target = np.concatenate([layout.target for layout in layouts])
            target += np.repeat(number * places * self.n_colors, flat.sizes)
            colors.view(-1).numpy()[target] = flat.cells
            counts = np.array([len(layout.features) for layout in layouts])
            token = np.arange(counts.sum())
            token += np.repeat(number * places - (np.cumsum(counts) - counts), counts)
            table = np.concatenate([layout.features for layout in layouts])
            features.view(-1, self.n_features).numpy()[token] = table
            mask.view(-1).numpy()[token] = True
            counts = np.array([layout.near.shape[1] for layout in layouts])
            one, other = np.concatenate([layout.near for layout in layouts], axis=1)
            one *= places
            one += other
            one += np.repeat(number * places**2, counts)
            adjacency.view(-1).numpy()[one] = True
        return GridTokens(colors, features, mask, adjacency)

    def places(self, grids: Sequence[Grid]) -> int:
        """Returns the number of patches of the largest grid."""
        flat, p = FlatGrids.of(grids), self.patch
        return int((-(-flat.height // p) * -(-flat.width // p)).max(initial=1))


@dataclass(frozen=True)
class _Layout:
    """The tokens of all grids of one shape, without the colours of their cells.

    `target` (H * W,) is the place of each cell in the colours of the grid, flattened. `features`
    are those of its k tokens, (k, 3) float32. `near` (2, e) lists the pairs of adjacent tokens,
    each pair twice.
    """

    target: Ints
    features: np.ndarray
    near: Ints


@lru_cache(maxsize=(LARGEST + 1) ** 2)
def _layout(height: int, width: int, p: int) -> _Layout:
    row, col = np.indices((height, width)).reshape(2, -1)
    down, across = -(-height // p), -(-width // p)
    number = row // p * across + col // p
    inside = np.bincount(number, minlength=down * across) / p**2
    row_of, col_of = np.indices((down, across)).reshape(2, -1)
    features = np.stack([row_of * p / LARGEST, col_of * p / LARGEST, inside], axis=1)
    pairs = [np.empty((2, 0), dtype=np.int64)]
    for dy, dx in _NEIGHBOURS:
        beside, below = col_of + dx, row_of + dy
        exists = (beside >= 0) & (beside < across) & (below >= 0) & (below < down)
        (one,) = np.nonzero(exists)
        pairs.append(np.stack([one, one + dy * across + dx]))
    return _Layout(
        number * p**2 + row % p * p + col % p,
        features.astype(np.float32),
        np.concatenate(pairs, axis=1),
    )
