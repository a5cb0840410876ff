"""Early ends of a run: on request, and when its validation loss stops improving."""

from __future__ import annotations

from typing import Any, Protocol

import pytorch_lightning as pl
from pytorch_lightning import callbacks
from pytorch_lightning.callbacks import Checkpoint

from jepa_lab.errors import RunStopped
from jepa_lab.process.stop import StopRequest


class Savable(Protocol):
    """Writes the checkpoints of a run."""

    def may_save(self, trainer: pl.Trainer) -> bool:
        """Whether a run resumed from here would be bit-identical."""

    def save(self, trainer: pl.Trainer) -> None:
        """Writes last.ckpt."""


class StopOnRequest(Checkpoint):
    """Writes `last.ckpt` and raises RunStopped once `stop` has a reason, after a training step or a
    validation.

    It derives from Checkpoint, since Lightning runs checkpoint callbacks after all others. It must
    follow `saver`. Every start takes at least one step, however short `max_wall_s` is.
    """

    def __init__(self, stop: StopRequest, max_wall_s: float | None, saver: Savable) -> None:
        self.stop = stop
        self.max_wall_s = max_wall_s
        self.saver = saver

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.arm()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.arm()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        reason = self.stop.reason(self.max_wall_s)
        if reason is not None and self.saver.may_save(trainer):
            self.saver.save(trainer)
            raise RunStopped(reason)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        reason = self.stop.reason()
        if reason is not None and trainer.state.fn != "fit":
            raise RunStopped(reason)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        reason = self.stop.reason(self.max_wall_s)
        if reason is not None and trainer.state.fn == "fit":
            raise RunStopped(reason)  # the Saver has just saved


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's EarlyStopping on the primary validation loss, asked after each validation.

    Lightning would ask at the end of the epoch, after the Saver. A run resumed from that checkpoint
    has no loss to ask for. A run resumed from the checkpoint at which it was due to stop takes no
    further step.
    """

    def __init__(
        self, patience: int, min_delta: float, monitor: str = "val/loss/prediction"
    ) -> None:
        super().__init__(
            monitor=monitor,
            min_delta=min_delta,
            patience=patience,
            mode="min",
            check_finite=False,
            check_on_train_epoch_end=False,
        )

    @property
    def state_key(self) -> str:
        """The key of its state in a checkpoint. It keeps the former class name, EarlyStop."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode).replace(
            "EarlyStopping", "EarlyStop"
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True
