"""Gradients of the BYOL toy for R runs at once: in closed form if all maps are linear, else by
autograd.

Every parameter has a leading axis R. Runs share only the batch. The loss is the mean over batch and
outputs of (p - z_t)^2 with p = P(B_o x) and z_t = B_t x'. The gradient stops at z_t unless
stop_gradient is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# linear: (R, out, in); mlp: (R, hidden, in), (R, hidden), (R, out, hidden); none: ()
Weights = Sequence[Tensor]


class Gradients(NamedTuple):
    """`loss` has shape (R,). `enc` and `pred` are the gradients of the encoder's and the
    predictor's parameters, in their order. `moment` is the second moment (R, d, d) of the online
    code, or None if it was not requested."""

    loss: Tensor
    enc: list[Tensor]
    pred: list[Tensor]
    moment: Tensor | None


def apply(weights: Weights, x: Tensor) -> Tensor:
    """Applies every run's map to x, shared (B, in) or one for each run (R, B, in), and returns (R,
    B, out). Without weights it returns x."""
    if not weights:
        return x
    if len(weights) == 1:
        return _linear(weights[0], x)
    first, bias, last = weights
    return _linear(last, torch.tanh(_linear(first, x) + bias[:, None]))


def closed_form(
    P: Tensor | None,
    B_o: Tensor,
    B_t: Tensor,
    x: Tensor,
    x_plus: Tensor,
    *,
    stop_gradient: bool,
    moment: bool,
) -> Gradients:
    """Returns the gradients of linear maps: P (R, d, d) or None without a predictor, B_o and B_t
    (R, d, D), views (B, D).

    With the residuals E = Z_o P' - Z_t (B, d), dP = 2/(B d) E'Z_o and dB_o = 2/(B d) (E P)'X.
    Without the stop, where the target is the online encoder itself, 2/(B d) E'X' is subtracted from
    dB_o. `moment` also returns Z_o'Z_o / B.
    """
    scale = 2.0 / (len(x) * B_o.shape[1])
    z_o, z_t = _linear(B_o, x), _linear(B_t, x_plus)
    if P is None:
        residual = z_o - z_t
        enc, pred = _outer(residual, x), []
    else:
        residual = torch.baddbmm(z_t, z_o, P.mT, beta=-1)
        enc, pred = _outer(residual @ P, x), [torch.bmm(residual.mT, z_o).mul_(scale)]
    if not stop_gradient:
        enc = enc - _outer(residual, x_plus)
    second = torch.bmm(z_o.mT, z_o) / len(x) if moment else None
    return Gradients(residual.square().mean((1, 2)), [enc.mul_(scale)], pred, second)


def exact(
    P: Tensor | None,
    B_o: Tensor,
    B_t: Tensor,
    A: Tensor,
    spectrum: Tensor,
    sigma: float,
    *,
    stop_gradient: bool,
    moment: bool,
) -> Gradients:
    """Returns the expected gradients of linear maps over an infinite batch: A (D, d), spectrum
    (d,).

    No matrix product is larger than (d, D) times (D, d).
    """
    d, noise = B_o.shape[1], sigma**2
    signal_o, signal_t = (
        _linear(A, B_o.flatten(0, 1), shared=True),
        _linear(A, B_t.flatten(0, 1), shared=True),
    )
    signal_o, signal_t = signal_o.view(-1, d, d), signal_t.view(-1, d, d)
    c_oo = (signal_o * spectrum) @ signal_o.mT + noise * torch.bmm(B_o, B_o.mT)
    c_to = (signal_t * spectrum) @ signal_o.mT
    c_tt = (signal_t * spectrum) @ signal_t.mT + noise * torch.bmm(B_t, B_t.mT)
    predictor = (
        torch.eye(d, dtype=B_o.dtype, device=B_o.device).expand(len(B_o), d, d) if P is None else P
    )
    off = torch.baddbmm(c_to, predictor, c_oo, beta=-1)  # P C_oo - C_to: E[e z_o']
    trace = (c_tt.diagonal(dim1=1, dim2=2).sum(1) + ((off - c_to) * predictor).sum((1, 2))) / d
    e_x = (predictor @ signal_o - signal_t) * spectrum @ A.mT + noise * predictor @ B_o  # E[e x']
    enc = predictor.mT @ e_x
    if not stop_gradient:
        e_x_plus = (predictor @ signal_o - signal_t) * spectrum @ A.mT - noise * B_t
        enc = enc - e_x_plus
    scale = 2.0 / d
    return Gradients(
        trace, [enc * scale], [] if P is None else [off * scale], c_oo if moment else None
    )


def autograd(
    enc: Weights,
    pred: Weights,
    target: Weights,
    x: Tensor,
    x_plus: Tensor,
    *,
    stop_gradient: bool,
    moment: bool,
) -> Gradients:
    """Returns the gradients of any of the maps. The runs' losses are summed, which is exact because
    each parameter belongs to one run."""
    with torch.enable_grad():
        enc = [w.detach().requires_grad_() for w in enc]
        pred = [w.detach().requires_grad_() for w in pred]
        z_o = apply(enc, x)
        if stop_gradient:
            with torch.no_grad():
                z_t = apply(target, x_plus)
        else:
            z_t = apply(enc, x_plus)
        loss = (apply(pred, z_o) - z_t).square().mean((1, 2))
        grads = list(torch.autograd.grad(loss.sum(), [*enc, *pred]))
    z = z_o.detach()
    second = torch.bmm(z.mT, z) / len(x) if moment else None
    return Gradients(loss.detach(), grads[: len(enc)], grads[len(enc) :], second)


def _linear(weight: Tensor, x: Tensor, shared: bool = False) -> Tensor:
    """Applies weights (R, out, in) to x (B, in) or (R, B, in) and returns (R, B, out), by one
    matrix product if x is shared.

    With `shared`, `weight` is a single matrix (in, out) that multiplies all rows of x.
    """
    if shared:
        return x @ weight
    if x.ndim == 3:
        return torch.bmm(x, weight.mT)
    runs, out, _ = weight.shape
    return (x @ weight.flatten(0, 1).T).view(len(x), runs, out).transpose(0, 1)


def _outer(rows: Tensor, x: Tensor) -> Tensor:
    """Returns the sum over the batch of the outer products of rows (R, B, out) and x (B, in): (R,
    out, in), as one matrix product."""
    runs, batch, out = rows.shape
    return (rows.permute(0, 2, 1).reshape(runs * out, batch) @ x).view(runs, out, -1)
