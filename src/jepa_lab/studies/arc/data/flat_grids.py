"""Many grids as one flat array of cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import overload

import numpy as np

from jepa_lab.studies.arc.data.task import LARGEST, Grid

Ints = np.ndarray  # int64


class FlatGrids(Sequence[Grid]):
    """n grids whose T cells lie in one array, grid after grid, row after row.

    `cells` (T,) holds the colours, `height` and `width` (n,) int64 the sides. Empty grids are
    allowed. As a sequence it yields the grids (H, W), which share the memory of `cells`.
    """

    def __init__(self, cells: np.ndarray, height: Ints, width: Ints) -> None:
        self.cells = cells
        self.height = height
        self.width = width
        self.sizes = height * width
        self.ends = np.cumsum(self.sizes)

    @staticmethod
    def of(grids: Sequence[Grid]) -> FlatGrids:
        """Flattens (H, W) arrays of colours."""
        if isinstance(grids, FlatGrids):
            return grids
        height, width = np.array([grid.shape for grid in grids], dtype=np.int64).reshape(-1, 2).T
        cells = [grid.ravel() for grid in grids]
        return FlatGrids(
            np.concatenate(cells) if cells else np.empty(0, dtype=np.uint8), height, width
        )

    @staticmethod
    def cat(parts: Sequence[FlatGrids]) -> FlatGrids:
        """Concatenates the grids of one or more parts."""
        if len(parts) == 1:
            return parts[0]
        cells, height, width = zip(*((p.cells, p.height, p.width) for p in parts), strict=True)
        return FlatGrids(np.concatenate(cells), np.concatenate(height), np.concatenate(width))

    def __len__(self) -> int:
        return len(self.height)

    @overload
    def __getitem__(self, key: int) -> Grid: ...
    @overload
    def __getitem__(self, key: slice) -> FlatGrids: ...
    def __getitem__(self, key: int | slice) -> Grid | FlatGrids:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                return self.take(np.arange(len(self))[key])
            first, end = self.starts[start:stop][:1].sum(), self.ends[start:stop][-1:].sum()
            return FlatGrids(self.cells[first:end], self.height[key], self.width[key])
        end, height, width = self.ends[key], self.height[key], self.width[key]
        return self.cells[end - height * width : end].reshape(height, width)

    def __iter__(self) -> Iterator[Grid]:
        start = 0
        for end, height, width in zip(
            self.ends.tolist(), self.height.tolist(), self.width.tolist(), strict=True
        ):
            yield self.cells[start:end].reshape(height, width)
            start = end

    @property
    def starts(self) -> Ints:
        """The index (n,) of the first cell of each grid."""
        return self.ends - self.sizes

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The shape (H, W) of each grid."""
        return list(zip(self.height.tolist(), self.width.tolist(), strict=True))

    def take(self, numbers: Ints) -> FlatGrids:
        """Returns copies of the grids with these numbers, in this order."""
        sizes = self.sizes[numbers]
        first = self.starts[numbers] - (np.cumsum(sizes) - sizes)
        cells = self.cells[np.repeat(first, sizes) + np.arange(int(sizes.sum()))]
        return FlatGrids(cells, self.height[numbers], self.width[numbers])

    def positions(self) -> tuple[Ints, Ints]:
        """Returns the row and the column (T,) of every cell in its grid."""
        if not len(self):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        row, col = np.concatenate([_positions(*shape) for shape in self.shapes], axis=1)
        return row, col


@lru_cache(maxsize=(LARGEST + 1) ** 2)
def _positions(height: int, width: int) -> Ints:
    """Returns the row and the column (2, H * W) of each cell of a grid, row after row."""
    return np.indices((height, width)).reshape(2, -1)
