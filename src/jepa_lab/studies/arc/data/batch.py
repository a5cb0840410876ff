"""Batches of tokenised ARC examples, as the data loader passes them to the ARC JEPA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from jepa_lab.devices import sent

DEMO_INPUT, DEMO_OUTPUT, QUERY, FRAME = range(4)  # roles of a context grid
PARTS = ("colors", "features", "mask", "adjacency")  # of tokens
NO_COLOR = 10  # in GridTokens.colors: outside the grid


@dataclass
class GridTokens:
    """Tokens of n grids with N places each.

    colors: (n, N, C) int64 in 0..10, the colours of a token. Object slots have C = 1, patches of p
    x p cells have C = p * p; 10 means no colour. features: (n, N, F) float32. mask: (n, N) bool,
    true where a token exists. adjacency: (n, N, N) bool, symmetric, without loops. Places without a
    token hold zeros, and 10 in `colors`. live: see `numbers`.
    """

    colors: Tensor
    features: Tensor
    mask: Tensor
    adjacency: Tensor
    live: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, rows: Any) -> GridTokens:
        return self._each(lambda part: part[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> GridTokens:
        return GridTokens(*(change(getattr(self, name)) for name in PARTS))

    def numbers(self) -> Tensor:
        """Returns the numbers (m,) int64 of the places with a token among all n * N. They are found
        once, and go to another device with the tokens, which would have to be asked for them."""
        if self.live is None:
            self.live = numbers_of(self.mask)
        return self.live

    def to(self, device: torch.device | str) -> GridTokens:
        """Returns a copy on another device."""
        moved = self._each(lambda part: sent(part, torch.device(device)))
        moved.live = sent(self.numbers(), torch.device(device))
        return moved

    def rows(self, rows: Tensor) -> GridTokens:
        """Returns copies of the grids with these numbers (m,) int64, in this order."""
        return self._each(lambda part: part.index_select(0, rows))

    def with_blank(self) -> GridTokens:
        """Returns a copy with one more grid, which has no tokens."""
        blank = GridTokens(
            torch.full_like(self.colors[:1], NO_COLOR),
            torch.zeros_like(self.features[:1]),
            torch.zeros_like(self.mask[:1]),
            torch.zeros_like(self.adjacency[:1]),
        )
        return GridTokens.cat([self, blank])

    @staticmethod
    def cat(parts: list[GridTokens]) -> GridTokens:
        """Concatenates the grids of all parts."""
        return GridTokens(*(torch.cat([getattr(p, name) for p in parts]) for name in PARTS))


@dataclass
class ArcView:
    """Tokens of the context (B * G grids, example after example) and the target (B grids)."""

    context: GridTokens
    target: GridTokens

    def to(self, device: torch.device | str) -> ArcView:
        """Returns a copy on another device."""
        return ArcView(self.context.to(device), self.target.to(device))


@dataclass
class ArcBatch:
    """B examples with G context grids each.

    view: the tokens of the examples. transformed: maps each family (color, translation, symmetry)
    to the tokens of the same examples after one transform of that family, the same for all grids of
    an example. present: (B, G) bool, true where a context grid exists; a missing grid has no
    tokens. roles: (B, G) int64, DEMO_INPUT, DEMO_OUTPUT, QUERY or FRAME. pairs: (B, G) int64, the
    number of the demonstration (the query has the number after the last one) or the position of the
    frame. task: (B,) int64, the number of the task in its split. index: (B,) int64, the number of
    the example in its split. grids: see `numbers`.
    """

    split: str
    view: ArcView
    present: Tensor
    roles: Tensor
    pairs: Tensor
    task: Tensor
    index: Tensor
    transformed: dict[str, ArcView] = field(default_factory=dict)
    grids: Tensor | None = field(default=None, repr=False)

    def numbers(self) -> Tensor:
        """Returns the numbers (m,) int64 of the context grids that exist among all B * G."""
        if self.grids is None:
            self.grids = numbers_of(self.present)
        return self.grids

    def to(self, device: torch.device | str) -> ArcBatch:
        """Returns a copy on another device."""
        there = torch.device(device)
        moved = replace(
            self,
            view=self.view.to(there),
            transformed={name: view.to(there) for name, view in self.transformed.items()},
            grids=sent(self.numbers(), there),
        )
        for name in ("present", "roles", "pairs", "task", "index"):
            setattr(moved, name, sent(getattr(self, name), there))
        return moved


def numbers_of(mask: Tensor) -> Tensor:
    """Returns the numbers (m,) int64 of the true entries of a mask among all its entries."""
    return mask.flatten().nonzero().squeeze(1)
