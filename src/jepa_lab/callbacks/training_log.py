"""TrainingLog: the loss terms, the gradient's norm and the learning rate, a row every few optimiser steps."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from jepa_lab.callbacks.cadence import Cadence
from jepa_lab.callbacks.publish import publish


class TrainingLog(Cadence):
    """Logs `train/loss/<term>`, `train/grad_norm` (before clipping) and `train/lr` at the first optimiser step and
    every `every` steps, and what the module's `training_statistics` tells of its last batch; a step that was skipped
    has no row."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if not self.due(trainer, pl_module):
            return
        values = {f"train/loss/{name}": float(value) for name, value in pl_module.terms.items()}
        values["train/grad_norm"] = float(pl_module.grad_norm)
        values |= {f"train/{name}": value for name, value in pl_module.training_statistics().items()}
        values["train/lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        publish(trainer, values)
