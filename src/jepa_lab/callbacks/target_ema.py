"""TargetEMA: moves the target encoder towards the online encoder after every optimiser step."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from jepa_lab.networks.ema import ema_update, tau_at


class TargetEMA(pl.Callback):
    """Updates every average of `pl_module.ema_pairs` once per optimiser step, also under gradient
    accumulation. By default the only pair is `target_encoder` and `network.encoder`. tau is
    constant, or rises to 1 along half a cosine over `steps`."""

    def __init__(self, tau: float, schedule: str, steps: int, buffers: str = "averaged") -> None:
        self.tau = tau
        self.schedule = schedule
        self.steps = steps
        self.buffers = buffers
        self._last_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last_step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        if getattr(pl_module, "skipped", False):
            return
        tau = tau_at(trainer.global_step - 1, self.steps, self.tau, self.schedule)
        for average, online in getattr(
            pl_module, "ema_pairs", [(pl_module.target_encoder, pl_module.network.encoder)]
        ):
            ema_update(average, online, tau, self.buffers)
