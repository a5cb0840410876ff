"""TrainingLog: the loss terms, the gradient's norm and the learning rate, a row every few optimiser steps."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch

from jepa_lab.callbacks.publish import publish


class TrainingLog(pl.Callback):
    """Logs `train/loss/<term>`, `train/grad_norm` (before clipping) and `train/lr` every `every` optimiser steps.

    A loss that is not finite is logged at once and ends the training: nothing after it could be read.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.failure: str | None = None
        self._last_step = 0
        self._norm: torch.Tensor | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._last_step = trainer.global_step

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        if (trainer.global_step + 1) % self.every == 0 or trainer.global_step == 0:
            grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self._norm = torch.nn.utils.get_total_norm(grads)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        step = trainer.global_step
        if step == self._last_step:
            return
        self._last_step = step
        if step % self.every and step != 1:
            return
        values = {f"train/loss/{name}": float(value) for name, value in pl_module.terms.items()}
        if self._norm is not None:
            values["train/grad_norm"] = float(self._norm)
        values["train/lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        publish(trainer, values)
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            self.failure = f"{bad[0]} is not finite at step {step}"
            trainer.should_stop = True
