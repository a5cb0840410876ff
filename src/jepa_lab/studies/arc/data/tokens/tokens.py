"""The tokens of a split's grids in an epoch, augmented, and after one further transform per
family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from jepa_lab.studies.arc.data.augment import FAMILIES, draw_transforms, family_transform
from jepa_lab.studies.arc.data.batch import GridTokens
from jepa_lab.studies.arc.data.examples import Examples
from jepa_lab.studies.arc.data.flat_grids import FlatGrids
from jepa_lab.studies.arc.data.task import Grid
from jepa_lab.studies.arc.data.tokens.tokenisers import Tokeniser
from jepa_lab.studies.arc.data.transform import apply_many, free_room

VIEW = "view"  # key of the augmented grids; the other keys are families of transforms


@dataclass(frozen=True)
class AugmentOptions:
    """The augmentations of tasks in training: colours, symmetries of the square, shifts."""

    palette: bool = False
    symmetry: bool = False
    translation: bool = False

    def any(self) -> bool:
        return self.palette or self.symmetry or self.translation


class TokenSource(Protocol):
    """Returns {view: tokens} (VIEW and families) of the grids `numbers` (n,), sorted.

    With `rows` (m,) the tokens are those of the grids `numbers[rows]`. A row of n is a grid without
    tokens.
    """

    def __call__(
        self, numbers: Tensor, epoch: int, rows: Tensor | None = None
    ) -> dict[str, GridTokens]: ...


class OnlineTokens:
    """Transforms and tokenises grids on demand.

    The transform of a task depends on (seed, split, epoch, task) alone and is the same for all its
    grids. The transform of a family is applied after it. Without augmentation and families all
    epochs are alike.
    """

    def __init__(
        self,
        examples: Examples,
        tokeniser: Tokeniser,
        *,
        split: str,
        seed: int = 0,
        augment: AugmentOptions | None = None,
        families: Sequence[str] = (),
    ) -> None:
        for family in families:
            if family not in FAMILIES:
                raise ValueError(f"families: {family!r} is none of {', '.join(FAMILIES)}")
        self.examples = examples
        self.tokeniser = tokeniser
        self.split = split
        self.seed = seed
        self.augment = augment if augment is not None and augment.any() else None
        self.families = tuple(families)
        self._owner = examples.owner.numpy()
        self._grids = FlatGrids.of(examples.grids)
        self._room = _rooms(examples) if self.augment or self.families else None

    def __call__(
        self, numbers: Tensor, epoch: int, rows: Tensor | None = None
    ) -> dict[str, GridTokens]:
        views, n = self.grids(numbers, epoch), len(numbers)
        if rows is None:
            tokens = self.tokeniser(FlatGrids.cat(list(views.values())))
        else:
            blank, last = FlatGrids.of([np.empty((0, 0), np.uint8)]), n * len(views)
            places = [torch.where(rows < n, rows + i * n, last) for i in range(len(views))]
            tokens = self.tokeniser(FlatGrids.cat([*views.values(), blank]), torch.cat(places))
            n = len(rows)
        return {view: tokens[i * n : (i + 1) * n] for i, view in enumerate(views)}

    def grids(self, numbers: Tensor, epoch: int) -> dict[str, FlatGrids]:
        """Returns the grids to be tokenised: those of these numbers, transformed, for the view and
        each family."""
        grids = self._grids.take(numbers.numpy())
        return {VIEW: grids} if self._room is None else self._transformed(grids, numbers, epoch)

    def _transformed(self, grids: FlatGrids, numbers: Tensor, epoch: int) -> dict[str, FlatGrids]:
        assert self._room is not None
        tasks, rows = np.unique(self._owner[numbers.numpy()], return_inverse=True)
        room, backgrounds = self._room[tasks], np.zeros(len(tasks), dtype=np.int64)
        if self.augment is not None:
            use = {"palette": self.augment.palette, "symmetry": self.augment.symmetry}
            use["translation"] = self.augment.translation
            drawn = draw_transforms(
                tasks, room, seed=self.seed, split=self.split, epoch=epoch, **use
            )
            grids = apply_many(grids, drawn, rows)
            room, backgrounds = drawn.room_after(room), drawn.new_backgrounds()
        views = {VIEW: grids}
        for family in self.families:
            drawn = family_transform(
                family,
                tasks,
                room,
                seed=self.seed,
                split=self.split,
                epoch=epoch,
                backgrounds=backgrounds,
            )
            views[family] = apply_many(grids, drawn, rows)
        return views


def _rooms(examples: Examples) -> np.ndarray:
    """Returns by how many cells all grids of each task can be shifted, (tasks, 4)."""
    owner = examples.owner.tolist()
    grids: list[list[Grid]] = [[] for _ in range(max(owner) + 1)]
    for number, grid in zip(owner, examples.grids, strict=True):
        grids[number].append(grid)
    return np.stack([free_room(of_task) for of_task in grids])
