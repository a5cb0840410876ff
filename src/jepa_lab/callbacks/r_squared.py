"""R² from sums that may be added over batches and processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class RSquared(Metric):
    """Mean over dimensions of 1 - SS_residual / SS_total, in float64; a dimension without variance is left out, or with
    `constant_as_zero` counts as 0 (scikit-learn's mean, and the public code's).

    update takes (n, k) predictions and targets. compute returns NaN if every dimension is constant.
    """

    full_state_update = False
    count: Tensor
    total: Tensor
    squares: Tensor
    residual: Tensor

    def __init__(self, dims: int, constant_as_zero: bool = False) -> None:
        super().__init__()
        self.constant_as_zero = constant_as_zero
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("total", "squares", "residual"):
            self.add_state(name, torch.zeros(dims, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, target: Tensor) -> None:
        predicted, target = predicted.double(), target.double()
        self.count += len(target)
        self.total += target.sum(0)
        self.squares += target.square().sum(0)
        self.residual += (target - predicted).square().sum(0)

    def compute(self) -> Tensor:
        spread = self.squares - self.total.square() / self.count
        # below a deviation of 1e-5 a number varies by rounding only
        varies = spread > torch.maximum(1e-9 * self.squares, 1e-10 * self.count)
        values = 1.0 - self.residual[varies] / spread[varies]
        return values.sum() / len(varies) if self.constant_as_zero else values.mean()
