"""One way for callbacks to hand metrics to every logger of the run, and to the progress display."""

from __future__ import annotations

import pytorch_lightning as pl
import torch


def publish(trainer: pl.Trainer, metrics: dict[str, float], step: int | None = None) -> None:
    """Logs at the current optimiser step (or `step`) and epoch; also readable from `trainer.callback_metrics`."""
    at = trainer.global_step if step is None else step
    for logger in trainer.loggers:
        logger.log_metrics(metrics={**metrics, "epoch": trainer.current_epoch}, step=at)
    trainer.callback_metrics.update({k: torch.tensor(v) for k, v in metrics.items()})
