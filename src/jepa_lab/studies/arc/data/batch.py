"""Batches of tokenised ARC examples, as the data loader passes them to the ARC JEPA."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

DEMO_INPUT, DEMO_OUTPUT, QUERY, FRAME = range(4)  # roles of a context grid
NO_COLOR = 10  # in GridTokens.colors: outside the grid


@dataclass
class GridTokens:
    """Tokens of n grids with N places each.

    colors: (n, N, C) int64 in 0..10, the colours of a token. Object slots have C = 1, patches of p
    x p cells have C = p * p; 10 means no colour. features: (n, N, F) float32. mask: (n, N) bool,
    true where a token exists. adjacency: (n, N, N) bool, symmetric, without loops. Places without a
    token hold zeros, and 10 in `colors`.
    """

    colors: Tensor
    features: Tensor
    mask: Tensor
    adjacency: Tensor

    def __len__(self) -> int:
        return len(self.mask)

    def __getitem__(self, rows: Any) -> GridTokens:
        return GridTokens(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to(self, device: torch.device | str) -> GridTokens:
        """Returns a copy on another device."""
        return GridTokens(*(getattr(self, f.name).to(device) for f in fields(self)))

    def rows(self, rows: Tensor) -> GridTokens:
        """Returns copies of the grids with these numbers (m,) int64, in this order."""
        return GridTokens(*(getattr(self, f.name).index_select(0, rows) for f in fields(self)))

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
        return GridTokens(
            *(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(GridTokens))
        )


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
    the example in its split.
    """

    split: str
    view: ArcView
    present: Tensor
    roles: Tensor
    pairs: Tensor
    task: Tensor
    index: Tensor
    transformed: dict[str, ArcView] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> ArcBatch:
        """Returns a copy on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("view", "present", "roles", "pairs", "task", "index"):
            moved[name] = moved[name].to(device)
        moved["transformed"] = {k: v.to(device) for k, v in self.transformed.items()}
        return ArcBatch(**moved)
