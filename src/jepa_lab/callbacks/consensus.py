"""Consensus: one decision of all processes that train a run together."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from jepa_lab.callbacks.checkpoints import Saver
from jepa_lab.callbacks.verdict import Verdicts
from jepa_lab.diagnosis import Verdict
from jepa_lab.process.stop import StopRequest
from jepa_lab.ranks import from_first, highest, of_all, rank


class FollowedVerdict:
    """The verdict of process 0, as another process knows it."""

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self.last: list[tuple[int, str]] = []


class AgreedStop(StopRequest):
    """A request to stop that all processes have at the same step, as of the last vote."""

    def __init__(self, own: StopRequest) -> None:
        super().__init__(own.started)
        self.own = own
        self.agreed: str | None = None

    def reason(self, max_wall_s: float | None = None) -> str | None:
        return self.agreed

    def arm(self) -> None:
        self.own.arm()


class Consensus(pl.Callback):
    """Makes all processes stop and save at the same step, and follow the decisions of process 0.

    Once per training batch they vote: any of them may ask to stop, and the clock of process 0 says
    when to save. After a validation they get its metrics, its verdict and whether it stops. The
    callback must follow those that measure, and precede those that decide.
    """

    def __init__(
        self, stop: AgreedStop, max_wall_s: float | None, saver: Saver, verdicts: Verdicts
    ) -> None:
        self.stop = stop
        self.max_wall_s = max_wall_s
        self.saver = saver
        self.verdicts = verdicts

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._follow(trainer)

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._vote()

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.state.fn != "fit":
            self._vote()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._follow(trainer)
            self._vote()

    def _vote(self) -> None:
        reason = self.stop.own.reason(self.max_wall_s)
        save = rank() == 0 and self.saver.is_due()
        stops, self.saver.asked = (bool(vote) for vote in highest([reason is not None, save]))
        if stops:
            self.stop.agreed = next(text for text in of_all(reason) if text is not None)

    def _follow(self, trainer: pl.Trainer) -> None:
        metrics = {key: value.cpu() for key, value in trainer.callback_metrics.items()}
        own = (self.verdicts.verdict, self.verdicts.last, trainer.should_stop, metrics)
        self.verdicts.verdict, self.verdicts.last, trainer.should_stop, metrics = from_first(own)
        trainer.callback_metrics.update(metrics)
