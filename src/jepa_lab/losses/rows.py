"""Checks and conversions of a batch of rows, shared by the losses."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Returns the tensor in float32. A float64 tensor stays as it is."""
    return x if x.dtype == torch.float64 else x.float()


def paired_rows(x: Tensor, y: Tensor) -> None:
    """Raises ValueError unless x and y are (n, d) of one shape."""
    if x.shape != y.shape or x.ndim != 2:
        raise ValueError(
            f"expected two (n, d) tensors of one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
        )


def several_rows(z: Tensor) -> Tensor:
    """Returns the features in float32, or unchanged if they are float64.

    Raises ValueError unless they are (n, d) with n >= 2, since one row has no variance.
    """
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"expected (n, d) features, n >= 2, got {tuple(z.shape)}")
    return at_least_float32(z)


def off_diagonal_squares(matrix: Tensor) -> Tensor:
    """Returns the sum of squares of a (d, d) matrix off its diagonal.

    It is never below 0. The sum of all squares minus those of the diagonal could be, by rounding.
    """
    return (matrix - torch.diag(matrix.diagonal())).square().sum()
