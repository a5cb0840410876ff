"""Verdicts during training: CurrentVerdict computes one after every validation, and StopOnVerdict
may end the run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, TQDMProgressBar

from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.errors import StoppedByVerdict
from jepa_lab.ledger.parquet import History, ParquetLedger, history_of

IN_A_ROW = 2  # validations; a single one may be an accident of a high learning rate


class Verdicts(Protocol):
    """The verdict of a run so far, and (step, status) of its last validations."""

    verdict: Verdict | None
    last: list[tuple[int, str]]


class CurrentVerdict(pl.Callback):
    """The verdict on the metrics logged so far, updated after every validation.

    `last` holds (step, status) of the last validations. It must follow the callbacks that log a
    validation's metrics. The history is read from the ledger as it grows, and `judge` computes the
    verdict. A run resumed from a checkpoint has a verdict from its start.
    """

    def __init__(self, ledger: ParquetLedger, judge: Callable[[History], Verdict] = judge) -> None:
        self.ledger, self.judge = ledger, judge
        self.verdict: Verdict | None = None
        self.last: list[tuple[int, str]] = []
        self._history: History = {}
        self._rows = 0

    def text(self) -> str | None:
        """Returns the status and its representation, as in `dimensional_collapse z_agg`, or None
        before the first validation."""
        if self.verdict is None:
            return None
        return (
            f"{self.verdict.status} {self.verdict.tap}" if self.verdict.tap else self.verdict.status
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # the rows after the checkpoint have just been dropped from the ledger of a resumed run
        self._history, self._rows = {}, 0
        self._read()
        if self.last:
            self.verdict = self.judge(self._history)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        self._read()
        self.verdict = self.judge(self._history)
        self.last = [*self.last, (trainer.global_step, self.verdict.status)][-IN_A_ROW:]

    def _read(self) -> None:
        new = self.ledger.table().slice(self._rows)
        self._rows += new.num_rows
        for key, points in history_of(new).items():
            self._history.setdefault(key, []).extend(points)

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last = [(int(step), str(status)) for step, status in state_dict["last"]]


class StateBar(TQDMProgressBar):
    """Lightning's progress bar with the state of the run beside its numbers."""

    def __init__(self, current: CurrentVerdict) -> None:
        super().__init__()
        self.current = current

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        state = self.current.text()
        return {**super().get_metrics(trainer, pl_module), **({"state": state} if state else {})}


class StopOnVerdict(Checkpoint):
    """Raises StoppedByVerdict after two validations in a row with a status of `stop_on`. The two
    statuses may differ.

    The checkpoint is written first. A run resumed from it raises again before its first step.
    Nothing happens after the last validation, as the run ends anyway.

    It derives from Checkpoint, since Lightning runs checkpoint callbacks after all others. It must
    follow the Saver.
    """

    def __init__(self, stop_on: Collection[str], current: Verdicts) -> None:
        self.stop_on = frozenset(stop_on)
        self.current = current

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_due()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        last = trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs
        if trainer.state.fn == "fit" and not last:
            self._stop_if_due()

    def _stop_if_due(self) -> None:
        verdict, last = self.current.verdict, self.current.last
        if (
            verdict is None
            or len(last) < IN_A_ROW
            or not all(status in self.stop_on for _, status in last)
        ):
            return
        place = f" in {verdict.tap}" if verdict.tap else ""
        since = last[0][0] if verdict.since_step is None else verdict.since_step
        raise StoppedByVerdict(f"diagnosis.stop_on: {verdict.status}{place} since step {since}")
