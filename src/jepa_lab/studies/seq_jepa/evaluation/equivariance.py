"""The error of predicting the change of z from the action, by the predictor and by the best linear
map. Rows have length 1, since the cosine loss leaves lengths free. 0 is perfect and 1 is the error
of the mean."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RIDGE = 1e-3  # ridge penalty as a share of the features' mean square


def relative_error(predicted: Tensor, target: Tensor) -> float:
    """Returns mean |p - t|^2 / mean |t - mean t|^2 of (n, d) rows. If the target does not vary, it
    is 0 for a perfect prediction and otherwise infinite."""
    error = (predicted.double() - target.double()).square().sum(dim=1).mean()
    spread = (target.double() - target.double().mean(dim=0)).square().sum(dim=1).mean()
    return (
        float(error / spread) if float(spread) > 0 else (0.0 if float(error) == 0 else float("inf"))
    )


def predictor_error(z_hat: Tensor, z_target: Tensor) -> float:
    """Returns relative_error of the predictions for the encodings of the same views, (n, d) each,
    scaled to length 1."""
    return relative_error(F.normalize(z_hat, dim=1), F.normalize(z_target, dim=1))


def copy_error(z: Tensor) -> float:
    """Returns relative_error if each view's encoding predicts the next one, for z (n, v, d) scaled
    to length 1."""
    z = F.normalize(z, dim=-1)
    return relative_error(z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1))


def linear_action_map_error(
    train: Tensor, actions: Tensor, test: Tensor, test_actions: Tensor
) -> float:
    """Returns relative_error on `test` of the map z' = W_0 z + sum_j a_j W_j z + B a + b, fitted by
    ridge regression on `train`. train and test are (n, v, d). The actions (n, v - 1, A) lead from
    view to view. The error is small if an action acts on the features as one linear map, whatever
    the image. This is equivariance in the strict sense."""
    x, y = _pairs(train, actions)
    gram = x.T @ x
    penalty = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=x.dtype)
    weights = torch.linalg.solve(gram + penalty, x.T @ y)
    x, y = _pairs(test, test_actions)
    return relative_error(x @ weights, y)


def _pairs(z: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    z = F.normalize(z.double(), dim=-1)
    before, after = z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1)
    a = actions[:, : z.shape[1] - 1].flatten(0, 1).double()
    acted = (a[:, :, None] * before[:, None, :]).flatten(1)
    return torch.cat([before, acted, a, torch.ones(len(a), 1, dtype=a.dtype)], dim=1), after
