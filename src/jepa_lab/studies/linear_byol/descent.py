"""Momentum descent of the toy's runs: its rates, and one step for R runs at once."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.gradients import Gradients
from jepa_lab.studies.linear_byol.rates import State

RATES = (
    "lr_pred",
    "lr_enc",
    "mom_pred",
    "mom_enc",
    "pred_update_every",
    "enc_update_every",
    "tau",
    "c_pred",
    "c_enc",
)


def descend(s: State, grads: Gradients, step: int | None) -> None:
    """Takes one step of momentum descent in place, v <- mu v + g, w <- w - lr v, then updates the
    target's moving average.

    Only parts whose update is due are changed, and the gradient of the others is discarded. With
    `step` None every part is due.
    """
    for part, gradients in (("enc", grads.enc), ("pred", grads.pred)):
        lr, momentum = s[f"lr_{part}"], s[f"mom_{part}"]
        due = None if step is None else (step % s[f"{part}_update_every"] == 0)
        for i, gradient in enumerate(gradients):
            weight, velocity = s[f"{part}_{i}"], s[f"{part}_velocity_{i}"]
            shape = (-1, *(1 for _ in weight.shape[1:]))
            if due is None:
                velocity.mul_(momentum.view(shape)).add_(gradient)
                weight.addcmul_(velocity, lr.view(shape), value=-1)
            else:
                now = due.view(shape)
                velocity.copy_(
                    torch.where(now, velocity * momentum.view(shape) + gradient, velocity)
                )
                weight.addcmul_(velocity, torch.where(now, lr.view(shape), 0.0), value=-1)
    for i, weight in enumerate(weights_of(s, "enc")):
        s[f"target_{i}"].lerp_(weight, s["tau"].view(-1, *(1 for _ in weight.shape[1:])))


def weights_of(s: State, part: str) -> list[Tensor]:
    return [s[f"{part}_{i}"] for i in range(3) if f"{part}_{i}" in s]


def rate(member: ToyConfig, name: str) -> float:
    """Returns the value of a run's rate or update period. `c_*` are the constants of auto mode,
    which sets lr_* itself."""
    if name == "tau":
        return 1 - float(member.ema_m or 0.0)
    key = {"c_pred": "auto_alpha_c", "c_enc": "auto_beta_c"}.get(name, name)
    return float(getattr(member, key) or 0.0)
