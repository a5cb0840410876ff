"""Batches of tokenised ARC examples: what a loader hands to the ARC JEPA."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

DEMO_INPUT, DEMO_OUTPUT, QUERY, FRAME = range(4)  # what a grid of the context is
NO_COLOR = 10  # in GridTokens.colors: outside of the grid


@dataclass
class GridTokens:
    """Tokens of n grids, N places each.

    colors: (n, N, C) int64 in 0..10, the colours a token holds (slots: 1; patches of p x p cells: p
    * p; 10 is none). features: (n, N, F) float32. mask: (n, N) bool, whether there is a token.
    adjacency: (n, N, N) bool, symmetric, without loops. Places without a token hold zeros (colours:
    10).
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
        """The same on another device."""
        return GridTokens(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def cat(parts: list[GridTokens]) -> GridTokens:
        """The grids of all parts, one after another."""
        return GridTokens(
            *(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(GridTokens))
        )


@dataclass
class ArcView:
    """The context (B * G grids, row by row) and the target (B grids) of a batch, as tokens."""

    context: GridTokens
    target: GridTokens

    def to(self, device: torch.device | str) -> ArcView:
        """The same on another device."""
        return ArcView(self.context.to(device), self.target.to(device))


@dataclass
class ArcBatch:
    """B examples with G context grids each.

    view: their tokens. transformed: by family (color, translation, symmetry), the same examples
    after one transform of that family for all grids of an example. present: (B, G) bool, whether
    there is such a context grid (else it has no tokens). roles: (B, G) int64, DEMO_INPUT,
    DEMO_OUTPUT, QUERY or FRAME. pairs: (B, G) int64, the number of the demonstration (the query has
    that after the last) or the position of the frame. task: (B,) int64, the number of the task in
    its split. index: (B,) int64, the number of the example in its split.
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
        """The same on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("view", "present", "roles", "pairs", "task", "index"):
            moved[name] = moved[name].to(device)
        moved["transformed"] = {k: v.to(device) for k, v in self.transformed.items()}
        return ArcBatch(**moved)
