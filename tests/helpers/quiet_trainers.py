"""A trainer of Lightning that prints and writes nothing."""

from __future__ import annotations

import pytorch_lightning as pl


def quiet_trainer(*callbacks: pl.Callback, epochs: int = 1) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
