"""EarlyStop: ends a run whose primary validation loss does not get better."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping


class EarlyStop(EarlyStopping):
    """Lightning's, on the primary validation loss; a run that goes on from the checkpoint at which it was due to stop
    takes no further step."""

    def __init__(self, patience: int, min_delta: float, monitor: str = "val/loss/prediction") -> None:
        super().__init__(monitor=monitor, min_delta=min_delta, patience=patience, mode="min", check_finite=False)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True
