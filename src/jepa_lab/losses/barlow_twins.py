"""Barlow Twins (Zbontar et al. 2021, arXiv:2103.03230) as in the authors' released code, and its
decorrelation term for a single batch."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.losses.rows import off_diagonal_squares, paired_rows, several_rows
from jepa_lab.losses.terms import LossTerms

EPS = 1e-5  # the epsilon of the authors' batch norm


def barlow_twins(
    x: Tensor, y: Tensor, lambda_param: float = 5e-3, scale_loss: float = 1.0
) -> LossTerms:
    """Returns the Barlow Twins loss of paired rows (n, d), n >= 2.

    The total is scale_loss (sum_i (C_ii - 1)^2 + lambda_param sum_{i != j} C_ij^2), where C is the
    cross-correlation of x and y. The terms on_diagonal and off_diagonal are the two sums,
    unweighted. Features are normalised as by a batch norm: biased variance, eps 1e-5. A constant
    feature therefore correlates with nothing and costs 1 on the diagonal. Computed in float32 or
    better, outside autocast. Raises ValueError for other shapes.
    """
    paired_rows(x, y)
    with torch.autocast(x.device.type, enabled=False):
        correlation = _standardised(x).T @ _standardised(y) / len(x)
        on_diagonal = (correlation.diagonal() - 1.0).square().sum()
        off_diagonal = off_diagonal_squares(correlation)
        total = scale_loss * (on_diagonal + lambda_param * off_diagonal)
    return LossTerms(total, {"on_diagonal": on_diagonal, "off_diagonal": off_diagonal})


def decorrelation(z: Tensor, scale_loss: float = 1.0) -> LossTerms:
    """Returns the decorrelation term of Barlow Twins for one batch (n, d), n >= 2.

    The total is scale_loss times the sum of squared correlations between different features. The
    on-diagonal term is missing, since a batch always agrees with itself. Its only term is
    off_diagonal. Constant features cost nothing, so this term alone does not prevent collapse to a
    constant. Raises ValueError for n < 2 or another rank.
    """
    with torch.autocast(z.device.type, enabled=False):
        z = _standardised(z)
        off_diagonal = off_diagonal_squares(z.T @ z / len(z))
    return LossTerms(scale_loss * off_diagonal, {"off_diagonal": off_diagonal})


def _standardised(z: Tensor) -> Tensor:
    z = several_rows(z)
    return (z - z.mean(dim=0)) / (z.var(dim=0, correction=0) + EPS).sqrt()
