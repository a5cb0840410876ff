"""The optimiser's parameter groups, the learning rate of every step, and a module that uses
both."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from jepa_lab.config.schema import OptimConfig


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Returns two groups of parameters: matrices and filters with weight decay, and 1-D parameters
    (gains, biases) and tokens without it."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            exempt = parameter.ndim < 2 or name.endswith(("agg_token", "position_code"))
            (plain if exempt else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]


def build_optimiser(module: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """Returns a fused Adam or AdamW over all trainable parameters of the module."""
    kind = torch.optim.AdamW if optim.name == "adamw" else torch.optim.Adam
    return kind(parameter_groups(module, optim.weight_decay), lr=optim.lr, fused=True)


def learning_rate_factor(step: int, steps: int, optim: OptimConfig) -> float:
    """Returns the learning rate of an optimiser step as a share of the highest.

    It is a linear warm-up (never 0), followed by a constant or half a cosine.
    """
    warmup = round(optim.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    if optim.schedule == "constant":
        return 1.0
    progress = min((step - warmup) / max(steps - warmup - 1, 1), 1.0)
    return optim.lr_min + (1.0 - optim.lr_min) * (1.0 + math.cos(math.pi * progress)) / 2.0


class OptimisedModule(pl.LightningModule):
    """A module with one optimiser over `steps` optimiser steps. FiniteGuard sets three of its
    fields.

    - `finite` is true if the losses of this batch are finite.
    - `skipped` is true if this optimiser step is skipped.
    - `grad_norm` is the norm of the gradients before clipping.

    `weighted` holds the parts of the loss with their graph until the backward pass.
    """

    def __init__(self, optim: OptimConfig, steps: int) -> None:
        super().__init__()
        self.optim = optim
        self.steps = steps
        self.weighted: dict[str, Tensor] = {}
        self.finite = True
        self.skipped = False
        self.grad_norm: Tensor | None = None

    def on_after_backward(self) -> None:
        self.weighted = {}

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Clips by the norm over all gradients.

        Lightning does not clip for a fused optimiser under autocast.
        """
        if self.optim.clip is not None and self.grad_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters(), self.optim.clip, self.grad_norm)

    def configure_optimizers(self) -> Any:
        optimiser = build_optimiser(self, self.optim)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda s: learning_rate_factor(s, self.steps, self.optim)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
