"""Plain baselines of the retrieval: the rank of the true output by measurements of the grids alone,
without a network.

Every baseline gives each candidate a score. The queries, the candidates and the rule for equal
scores are those of the network's retrieval (metrics/retrieval.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from jepa_lab.metrics.retrieval import ranks_of_scores
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT
from jepa_lab.studies.arc.data.examples import ABSENT, Examples
from jepa_lab.studies.arc.data.task import COLORS, Grid

OUTSIDE = 255  # in GridMeasures.cells: beyond the grid
PAIRS_AT_ONCE = 8192  # pairs of grids whose cells are compared at once
DECIMALS = 9  # of the scores that are ranked for a sum of ranks


@dataclass(frozen=True)
class GridMeasures:
    """Measurements of n grids: cells (n, s * s) uint8 with OUTSIDE beyond a grid of fewer than s x
    s cells, sizes (n, 2) float64 (height and width), and shares (n, 10) float64, the share of each
    colour in the cells."""

    cells: Tensor
    sizes: Tensor
    shares: Tensor


def measure(grids: Sequence[Grid]) -> GridMeasures:
    """Returns the measurements of the grids, in their order."""
    side = max(max(grid.shape) for grid in grids)
    cells = np.full((len(grids), side, side), OUTSIDE, dtype=np.uint8)
    shares = np.zeros((len(grids), COLORS))
    for number, grid in enumerate(grids):
        cells[number, : grid.shape[0], : grid.shape[1]] = grid
        shares[number] = np.bincount(grid.ravel(), minlength=COLORS) / grid.size
    sizes = torch.tensor([grid.shape for grid in grids], dtype=torch.float64)
    return GridMeasures(torch.from_numpy(cells).flatten(1), sizes, torch.from_numpy(shares))


def equal_cells(measured: GridMeasures, query: Tensor, answers: Tensor) -> Tensor:
    """Returns the share of equal cells of the grid `query` (n,) and each of its answers (n, k), as
    (n, k); 0 for an answer of another size."""
    scores = torch.zeros(answers.shape, dtype=torch.float64)
    same = (measured.sizes[answers] == measured.sizes[query].unsqueeze(1)).all(dim=2)
    for row, column in zip(
        *(part.split(PAIRS_AT_ONCE) for part in same.nonzero(as_tuple=True)), strict=True
    ):
        one, other = measured.cells[query[row]], measured.cells[answers[row, column]]
        inside = one != OUTSIDE
        scores[row, column] = ((one == other) & inside).sum(1).double() / inside.sum(1)
    return scores


def alike_histograms(measured: GridMeasures, expected: Tensor, answers: Tensor) -> Tensor:
    """Returns minus the L1 distance between the colour shares of each answer (n, k) and `expected`
    (n, 10), as (n, k)."""
    return -(measured.shares[answers] - expected.unsqueeze(1)).abs().sum(dim=2)


def alike_sizes(measured: GridMeasures, expected: Tensor, answers: Tensor) -> Tensor:
    """Returns minus the sum of the differences in height and width between each answer (n, k) and
    `expected` (n, 2), as (n, k)."""
    return -(measured.sizes[answers] - expected.unsqueeze(1)).abs().sum(dim=2)


def moved_shares(query: Tensor, inputs: Tensor, outputs: Tensor, present: Tensor) -> Tensor:
    """Returns the colour shares of the query (n, 10) plus their mean change from input to output
    over the demonstrations (n, d, 10) that are `present` (n, d). Unchanged without any."""
    changes = (outputs - inputs) * present.unsqueeze(2)
    return query + changes.sum(dim=1) / present.sum(dim=1, keepdim=True).clamp(min=1)


def predicted_sizes(query: Tensor, inputs: Tensor, outputs: Tensor, present: Tensor) -> Tensor:
    """Returns the predicted height and width (n, 2) of the output.

    `query` (n, 2) and the demonstrations' `inputs` and `outputs` (n, d, 2) are sizes; only
    demonstrations that are `present` (n, d) count. Each side follows the first of these that holds
    in all demonstrations: the side of the input, one constant, a constant multiple of the input's
    side. If none holds it is the mean of the demonstrations' outputs. Without a demonstration the
    prediction is the query's own size.
    """
    if not bool(present.any()):
        return query
    there = present.unsqueeze(2)

    def constant(values: Tensor) -> tuple[Tensor, Tensor]:
        most = values.masked_fill(~there, 0.0).amax(dim=1)
        return most, (((values - most.unsqueeze(1)).abs() < 1e-9) | ~there).all(dim=1)

    as_input = ((inputs == outputs) | ~there).all(dim=1)
    (side, fixed), (ratio, scaled) = constant(outputs), constant(outputs / inputs)
    mean = (outputs * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
    by_ratio = torch.where(scaled, query * ratio, mean)
    return torch.where(as_input, query, torch.where(fixed, side, by_ratio))


def mean_ranks(scores: Tensor) -> Tensor:
    """Returns the rank of every score in its row (n, k), 1 for the highest. Equal scores share
    their mean rank."""
    return torch.from_numpy(rankdata(-scores.round(decimals=DECIMALS), axis=1))


def plain_scores(examples: Examples, index: Tensor, among: Tensor) -> dict[str, Tensor]:
    """Returns the scores (n, 1 + m) of every baseline; column 0 is the true output.

    `index` (n,) are the numbers of the examples, and `among` (n, m) the positions in `index` of the
    examples whose targets are the other candidates (metrics.retrieval.candidates). The query's
    input is in the last place of a context. The baselines are

    - equal_cells: share of cells equal to the query's input, 0 for another size;
    - histogram: minus the L1 distance to the colour shares of the query's input;
    - moved_histogram: the same to those shares plus the demonstrations' mean change; missing
      without demonstrations;
    - size: minus the distance to the size that the demonstrations predict, see predicted_sizes;
    - combined: minus the sum of the ranks by equal_cells, size and the histogram (the moved one
      with demonstrations).
    """
    context, target = examples.context[index], examples.target[index]
    answers = torch.cat([target.unsqueeze(1), target[among]], dim=1)
    query = context[:, -1]
    first, second = (context[:, examples.roles == role] for role in (DEMO_INPUT, DEMO_OUTPUT))
    present, m = first != ABSENT, measure(examples.grids)
    demos = [(values[first], values[second], present) for values in (m.shares, m.sizes)]
    scores = {
        "equal_cells": equal_cells(m, query, answers),
        "histogram": alike_histograms(m, m.shares[query], answers),
        "size": alike_sizes(m, predicted_sizes(m.sizes[query], *demos[1]), answers),
    }
    if bool(present.any()):
        expected = moved_shares(m.shares[query], *demos[0])
        scores["moved_histogram"] = alike_histograms(m, expected, answers)
    of_colors = "moved_histogram" if "moved_histogram" in scores else "histogram"
    combined = sum(mean_ranks(scores[name]) for name in ("equal_cells", "size", of_colors))
    return scores | {"combined": -torch.as_tensor(combined)}


def plain_ranks(examples: Examples, index: Tensor, among: Tensor) -> dict[str, Tensor]:
    """Returns the rank of the true output (n,) by every baseline, as ranks_of_scores does."""
    scores = plain_scores(examples, index, among)
    return {name: ranks_of_scores(rows[:, 0], rows[:, 1:]) for name, rows in scores.items()}
