"""A task of the Abstraction and Reasoning Corpus: pairs of grids that follow one rule."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

COLORS = 10
LARGEST = 30  # cells on a side

Grid = np.ndarray  # (H, W) uint8, colours 0 to 9, sides of 1 to 30


@dataclass(frozen=True)
class Pair:
    """An input grid and its output under the rule of the task."""

    input: Grid
    output: Grid


@dataclass(frozen=True)
class ArcTask:
    """Demonstrations and test pairs of one rule.

    `frames`: sequences of at least 2 grids, the states from an input to its output. They are known
    for synthetic tasks and recorded sequences only. `kind`: the kind of the rule (see
    synthetic/rule_kinds.py), "" where the rule is not known.
    """

    task_id: str
    train: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    frames: tuple[tuple[Grid, ...], ...] = ()
    kind: str = ""

    def grids(self) -> Iterator[Grid]:
        """Yields all grids in a fixed order."""
        for pair in (*self.train, *self.test):
            yield from (pair.input, pair.output)
        for sequence in self.frames:
            yield from sequence


@dataclass(frozen=True)
class TaskSplits:
    """Tasks by split; no task is in two splits."""

    train: tuple[ArcTask, ...]
    val: tuple[ArcTask, ...]
    test: tuple[ArcTask, ...]

    def fingerprint(self) -> str:
        """Returns a hash of the ids and grids of all three splits."""
        digest = hashlib.blake2b(digest_size=12)
        for split in (self.train, self.val, self.test):
            digest.update(f"split {len(split)};".encode())
            for task in split:
                pairs = f"{len(task.train)} {len(task.test)} {len(task.frames)}"
                digest.update(f"{task.task_id} {pairs};".encode())
                for grid in task.grids():
                    digest.update(str(grid.shape).encode() + np.ascontiguousarray(grid).tobytes())
        return digest.hexdigest()
