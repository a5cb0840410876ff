"""The verdict while a run trains: CurrentVerdict reads it after every validation, VerdictStop may
end the run by it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, TQDMProgressBar

from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.errors import StoppedByVerdict
from jepa_lab.ledger.parquet import History, ParquetLedger, history_of

IN_A_ROW = 2  # validations: one may be an accident of a high learning rate


class CurrentVerdict(pl.Callback):
    """`verdict` is that of the metrics logged so far, anew after every validation; `last` holds the
    status of each validation, with its step. Has to stand behind the callbacks that log a
    validation's metrics.

    The history is read from the ledger as it grows; `judge` gives the verdict. A run that goes on
    from a checkpoint is judged at its start.
    """

    def __init__(self, ledger: ParquetLedger, judge: Callable[[History], Verdict] = judge) -> None:
        self.ledger, self.judge = ledger, judge
        self.verdict: Verdict | None = None
        self.last: list[tuple[int, str]] = []
        self._history: History = {}
        self._rows = 0

    def text(self) -> str | None:
        """The status and its representation, as in `dimensional_collapse z_agg`; None before the
        first validation."""
        if self.verdict is None:
            return None
        return (
            f"{self.verdict.status} {self.verdict.tap}" if self.verdict.tap else self.verdict.status
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # of a run that goes on the ledger was cut to its checkpoint just now
        self._history, self._rows = ({}, 0)
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
    """Lightning's bar with the state of the run beside its numbers."""

    def __init__(self, current: CurrentVerdict) -> None:
        super().__init__()
        self.current = current

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        state = self.current.text()
        return {**super().get_metrics(trainer, pl_module), **({"state": state} if state else {})}


class StopOnVerdict(Checkpoint):
    """Raises StoppedByVerdict once two validations in a row gave a status of `stop_on` (any of
    them), the checkpoint being written: after the second one, and at the start of a run that goes
    on from there, before its first step. Not after the last validation, when there is nothing left
    to end.

    A Checkpoint so that Lightning keeps it behind every other callback; it has to stand behind the
    Saver.
    """

    def __init__(self, stop_on: Collection[str], current: CurrentVerdict) -> None:
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
