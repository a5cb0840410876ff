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
    tried = [_Readout(x[:, i:], a[:, i:], y[:, i:]) for i in first_steps]
    return min(tried, key=lambda readout: float(readout.losses.mean())).result()


class _Readout:
    """The readout that is fitted on all steps (n, M) of one half of the sequences, and read on the
    other half. `losses` (n,) are those with the true actions."""

    def __init__(self, x: Tensor, a: Tensor, y: Tensor) -> None:
        even = torch.arange(len(x)) % 2 == 0
        self._halves = [_Half(x, a, y, fit) for fit in (even, ~even)]
        self.losses = torch.cat([half.loss(half.given_read) for half in self._halves])

    def result(self) -> ActionReadout:
        """Returns the losses. The readout without actions is fitted here, since only the readout
        that counts needs it."""
        shuffled = torch.cat([h.loss(h.given_read.roll(1, dims=0)) for h in self._halves])
        without = torch.cat([half.loss_without() for half in self._halves])
        return ActionReadout(
            loss=float(self.losses.mean()),
            loss_shuffled=float(shuffled.mean()),
            loss_without=float(without.mean()),
            gain_error=float((shuffled - self.losses).std() / len(shuffled) ** 0.5),
        )


class _Half:
    """A readout fitted on the sequences `fit` (n,) and the kernels with which it reads the others.
    The kernels are those of the features (`plain`) and of the actions (`given`)."""

    def __init__(self, x: Tensor, a: Tensor, y: Tensor, fit: Tensor) -> None:
        seen, acts, self.answers = (t[fit].flatten(0, 1) for t in (x, a, y))
        last, towards, self.wanted = (t[~fit][:, -1] for t in (x, a, y))
        self.plain, given = 1.0 + seen @ seen.T, (1.0 + acts @ acts.T).square()
        self.plain_read, self.given_read = 1.0 + last @ seen.T, (1.0 + towards @ acts.T).square()
        self.weights = _fit(self.plain * given, self.answers)

    def loss(self, kernel: Tensor) -> Tensor:
        """Returns the loss of every read sequence with this kernel of the actions."""
        return _loss((self.plain_read * kernel) @ self.weights, self.wanted)

    def loss_without(self) -> Tensor:
        """Returns the loss of every read sequence of the readout without actions."""
        return _loss(self.plain_read @ _fit(self.plain, self.answers), self.wanted)


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
    direction = _directions(y.clone())
    fits = []
    left_out = torch.empty_like(y)
    for ridge in RIDGES:
        inverse = 1.0 / (values + ridge * mean)
        weights = vectors @ (inverse[:, None] * rotated)
        # the leave-one-out residual: weights divided by the diagonal of the inverse
        torch.div(weights, (squares @ inverse)[:, None], out=left_out)
        torch.sub(y, left_out, out=left_out)
        cosine = _directions(left_out).mul_(direction).sum(dim=-1)
        fits.append((float((1.0 - cosine).mean()), weights))
    return min(fits, key=lambda fit: fit[0])[1]


def _loss(predicted: Tensor, y: Tensor) -> Tensor:
    return 1.0 - F.cosine_similarity(predicted, y, dim=-1)


def _directions(x: Tensor) -> Tensor:
    """Divides the rows (n, D) by their lengths in place, as F.cosine_similarity does."""
    return x.div_(torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-8))
