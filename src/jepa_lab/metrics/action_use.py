"""Use of the actions by a prediction, relative to what its features allow.

A small gain from the actions is a defect only if the features allow a larger one. A closed-form
readout measures how large the gain can be. It is a kernel ridge regression of the target's
direction on the features x, the action code a and their products, with the kernel
(1 + x'x) (1 + a'a)^2. It is fitted on one half of the rows and read on the other, both ways.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_ROWS = 64  # fewer rows do not determine the readout
RIDGES = tuple(10.0**k for k in range(-7, 3))  # in units of the kernel's mean diagonal
LEAST_SHARE = 0.02  # of the loss without actions: the smallest gain that counts as a trace
STANDARD_ERRORS = 3.0  # the possible gain must exceed this number of its standard errors


@dataclass(frozen=True)
class ActionReadout:
    """Held-out losses (1 - cosine) of the readout on one set of features.

    `loss` is the loss with the true actions, `loss_shuffled` with those of other rows.
    `loss_without` is the loss of a second readout, fitted without actions. `gain_error` is the
    standard error of loss_shuffled - loss over the rows.
    """

    loss: float
    loss_shuffled: float
    loss_without: float
    gain_error: float

    @property
    def gain(self) -> float:
        """The gain from true instead of shuffled actions that the features allow."""
        return self.loss_shuffled - self.loss

    @property
    def shows_actions(self) -> bool:
        """Whether the features hold a trace of the action."""
        least = max(LEAST_SHARE * self.loss_without, STANDARD_ERRORS * self.gain_error)
        return self.gain > least

    def use(self, action_gain: float) -> float:
        """Returns the achieved gain divided by the possible one.

        A prediction that ignores its actions has 0, one at least as good as the readout has 1. The
        value is NaN if the features hold no trace of the action.
        """
        possible = max(self.gain, action_gain)
        return action_gain / possible if self.shows_actions else float("nan")


def action_readout(features: Tensor, actions: Tensor, targets: Tensor) -> ActionReadout | None:
    """Returns the losses of the readout from features (n, d) and actions (n, A) to targets (n, D).

    The actions lead to the targets, whose lengths do not matter. The ridge is the one with the
    least leave-one-out loss on the fit half. Returns None for fewer than 64 rows or values that
    are not finite. Raises ValueError for another rank or unequal numbers of rows.
    """
    if any(t.ndim != 2 or len(t) != len(features) for t in (features, actions, targets)):
        shapes = ", ".join(str(tuple(t.shape)) for t in (features, actions, targets))
        raise ValueError(f"expected (n, d), (n, A) and (n, D), got {shapes}")
    x, a, y = (t.detach().cpu().double() for t in (features, actions, targets))
    if len(x) < LEAST_ROWS or not all(bool(torch.isfinite(t).all()) for t in (x, a, y)):
        return None
    x, a, y = _scaled(x), _scaled(a), F.normalize(y, dim=-1)
    plain, acts = 1.0 + x @ x.T, (1.0 + a @ a.T).square()
    even = torch.arange(len(x)) % 2 == 0
    true: list[Tensor] = []
    shuffled: list[Tensor] = []
    without: list[Tensor] = []
    for fit in (even, ~even):
        read = ~fit
        weights = _fit(plain[fit][:, fit], y[fit])
        without.append(_loss(plain[read][:, fit] @ weights, y[read]))
        weights = _fit((plain * acts)[fit][:, fit], y[fit])
        given = acts[read][:, fit]
        for losses, kernel in ((true, given), (shuffled, given.roll(1, dims=0))):
            losses.append(_loss((plain[read][:, fit] * kernel) @ weights, y[read]))
    loss, other = torch.cat(true), torch.cat(shuffled)
    return ActionReadout(
        loss=float(loss.mean()),
        loss_shuffled=float(other.mean()),
        loss_without=float(torch.cat(without).mean()),
        gain_error=float((other - loss).std() / len(loss) ** 0.5),
    )


def _scaled(x: Tensor) -> Tensor:
    """Returns centred rows with mean squared norm 1. Constant rows become 0."""
    x = x - x.mean(dim=0)
    scale = float(x.square().sum(dim=1).mean().sqrt())
    return x / scale if scale > 1e-12 else torch.zeros_like(x)


def _fit(kernel: Tensor, y: Tensor) -> Tensor:
    """Returns the dual weights (n, D) of the ridge with the least leave-one-out loss."""
    values, vectors = torch.linalg.eigh(kernel)
    values = values.clamp_min(0.0)
    rotated, squares = vectors.T @ y, vectors.square()
    mean = float(kernel.diagonal().mean())
    fits = []
    for ridge in RIDGES:
        inverse = 1.0 / (values + ridge * mean)
        weights = vectors @ (inverse[:, None] * rotated)
        # the leave-one-out residual: weights divided by the diagonal of the inverse
        left_out = y - weights / (squares @ inverse)[:, None]
        fits.append((float(_loss(left_out, y).mean()), weights))
    return min(fits, key=lambda fit: fit[0])[1]


def _loss(predicted: Tensor, y: Tensor) -> Tensor:
    return 1.0 - F.cosine_similarity(predicted, y, dim=-1)
