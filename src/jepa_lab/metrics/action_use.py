"""Use of the actions by a prediction, relative to what its features allow.

A small gain from the actions is a defect only if the features allow a larger one. A closed-form
readout measures how large the gain can be. It is a kernel ridge regression of the direction of a
view's features on the features x of the view before, the action code a between them, and their
products, with the kernel (1 + x'x) (1 + a'a)^2. It is fitted on one half of the sequences and read
on the other, and the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_ROWS = 64  # sequences; fewer do not determine the readout
RIDGES = tuple(10.0**k for k in range(-7, 3))  # in units of the kernel's mean diagonal
LEAST_SHARE = 0.02  # of the loss without actions: the smallest gain that counts as a trace
STANDARD_ERRORS = 3.0  # the possible gain must exceed this number of its standard errors


@dataclass(frozen=True)
class ActionReadout:
    """Held-out losses (1 - cosine) of the readout on one set of features.

    `loss` is the loss with the true actions, `loss_shuffled` with those of other
    sequences.
    `loss_without` is the loss of a second readout, fitted without actions. `gain_error` is the
    standard error of loss_shuffled - loss over the sequences.
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


def action_readout(views: Tensor, actions: Tensor, targets: Tensor) -> ActionReadout | None:
    """Returns the losses of the readout on n sequences of M observed views and a target view.

    views: features (n, M, d) of the observed views; actions: (n, M, A), from each view to the next,
    the last one to the target view; targets: features (n, d) of the target view, of any length.

    Two readouts are tried, and the one with the lower loss counts. One is fitted on every step from
    a view to the next, so that a small validation set gives enough rows. The other is fitted on
    the steps to the target view alone, whose encoder may be another one (a teacher). Both are read
    on steps to the target view. The ridge is the one with the least leave-one-out loss on the fit
    half. Returns None for fewer than 64 sequences or values that are not finite. Raises ValueError
    for other shapes.
    """
    n, m, d = views.shape if views.ndim == 3 else (0, 0, 0)
    if m < 1 or actions.shape[:-1] != (n, m) or targets.shape != (n, d):
        shapes = ", ".join(str(tuple(t.shape)) for t in (views, actions, targets))
        raise ValueError(f"expected (n, M, d), (n, M, A) and (n, d), got {shapes}")
    z, a, y = (t.detach().cpu().double() for t in (views, actions, targets))
    if n < LEAST_ROWS or not all(bool(torch.isfinite(t).all()) for t in (z, a, y)):
        return None
    x, a = _scaled(z), _scaled(a)
    y = F.normalize(torch.cat([z[:, 1:], y[:, None]], dim=1), dim=-1)
    first_steps = (0, m - 1) if m > 1 else (0,)
    tried = [_readout(x[:, i:], a[:, i:], y[:, i:]) for i in first_steps]
    return min(tried, key=lambda readout: readout.loss)


def _readout(x: Tensor, a: Tensor, y: Tensor) -> ActionReadout:
    """Returns the readout that is fitted on all steps (n, M) of one half of the sequences."""
    even = torch.arange(len(x)) % 2 == 0
    true: list[Tensor] = []
    shuffled: list[Tensor] = []
    without: list[Tensor] = []
    for fit in (even, ~even):
        seen, acts, answers = (t[fit].flatten(0, 1) for t in (x, a, y))
        last, towards, wanted = (t[~fit][:, -1] for t in (x, a, y))
        plain, given = 1.0 + seen @ seen.T, (1.0 + acts @ acts.T).square()
        plain_read, given_read = 1.0 + last @ seen.T, (1.0 + towards @ acts.T).square()
        without.append(_loss(plain_read @ _fit(plain, answers), wanted))
        weights = _fit(plain * given, answers)
        for losses, kernel in ((true, given_read), (shuffled, given_read.roll(1, dims=0))):
            losses.append(_loss((plain_read * kernel) @ weights, wanted))
    loss, other = torch.cat(true), torch.cat(shuffled)
    return ActionReadout(
        loss=float(loss.mean()),
        loss_shuffled=float(other.mean()),
        loss_without=float(torch.cat(without).mean()),
        gain_error=float((other - loss).std() / len(loss) ** 0.5),
    )


def _scaled(x: Tensor) -> Tensor:
    """Returns centred vectors (n, M, d) with mean squared norm 1. Constant ones become 0."""
    x = x - x.mean(dim=(0, 1))
    scale = float(x.square().sum(dim=-1).mean().sqrt())
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
