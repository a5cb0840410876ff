"""Saves the toy's checkpoints and tables during training, and prints its progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from tqdm import tqdm

from jepa_lab.callbacks.checkpoints import latest_checkpoint, write_checkpoint
from jepa_lab.errors import say
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.linear_byol.monitor import ToyRows

TABLES_SHARE = 0.05  # of the time, at most, that the tables of unfinished runs may take


class ToySaver(pl.Callback):
    """Saves a checkpoint every `every_s` seconds: writes `last.ckpt`, and before it calls `flush`,
    which writes the runs' tables.

    A resumed run needs the checkpoint alone, and a thousand tables take longer than the steps
    between two checkpoints. So the tables are left out while they would take more than TABLES_SHARE
    of the time since they were last written. A stop writes them in any case.

    Ends the training if every run has diverged. It must come after ToyRows in the list of
    callbacks. `ids` are the ids of the population's runs.
    """

    def __init__(
        self,
        folder: Path,
        ids: list[str],
        rows: ToyRows,
        flush: Callable[[], None],
        every_s: float,
        epochs: int,
    ) -> None:
        self.folder, self.ids, self.rows, self.flush = folder, ids, rows, flush
        self.every_s, self.epochs = every_s, epochs
        self._last_step = 0
        self._saved_at = self._flushed_at = time.monotonic()
        self._flush_s = 0.0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Block,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, LinearBYOL)
        self._last_step = batch.last
        if time.monotonic() - self._saved_at >= self.every_s and self.may_save(trainer):
            since = time.monotonic() - self._flushed_at
            if self._flush_s <= TABLES_SHARE * since:
                self._write_tables()
            self.write_checkpoint(pl_module)
        if not bool(pl_module.active.any()):
            trainer.should_stop = True

    def may_save(self, trainer: pl.Trainer) -> bool:
        """Whether training is still under way. The end of training writes a checkpoint anyway."""
        return self._last_step < self.epochs

    def save(self, trainer: pl.Trainer) -> None:
        """Writes the tables, then the checkpoint, each completely or not at all."""
        assert isinstance(trainer.lightning_module, LinearBYOL)
        self._write_tables()
        self.write_checkpoint(trainer.lightning_module)

    def _write_tables(self) -> None:
        begun = time.monotonic()
        self.flush()
        self._flushed_at = time.monotonic()
        self._flush_s = self._flushed_at - begun

    def write_checkpoint(self, module: LinearBYOL) -> None:
        """Writes `last.ckpt`, and keeps the one before it as `previous.ckpt`."""
        last, new = self.folder / "last.ckpt", self.folder / "next.ckpt"
        write_checkpoint(
            new, {"ids": self.ids, "state": module.state_dict(), "rows": self.rows.state()}
        )
        if last.exists():
            os.replace(last, self.folder / "previous.ckpt")
        os.replace(new, last)
        self._saved_at = time.monotonic()


class ToyProgress(pl.Callback):
    """Shows a progress bar on a terminal, and prints ten lines elsewhere."""

    def __init__(self, rows: ToyRows, epochs: int) -> None:
        self.rows, self.epochs = rows, epochs
        self._bar: Any = None
        self._printed = 0  # tenths of the training

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LinearBYOL)
        runs = len(pl_module.members)
        self._bar = tqdm(
            total=self.epochs,
            initial=int(pl_module.step),
            unit="step",
            disable=not sys.stderr.isatty(),
            desc=f"{runs} runs" if runs > 1 else "1 run",
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Block,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, LinearBYOL)
        gone = int((~pl_module.active).sum())
        self._bar.update(batch.last - batch.first + 1)
        if gone:
            self._bar.set_postfix_str(f"{gone} diverged", refresh=False)
        tenth = 10 * batch.last // self.epochs
        if self._bar.disable and tenth > self._printed:
            self._printed = tenth
            used = self.rows.wall_s
            left = used / batch.last * (self.epochs - batch.last)
            more = f"  {gone} diverged" if gone else ""
            say(
                f"step {batch.last}/{self.epochs}{more}  {used:.0f} s, {left:.0f} s left", prefix=""
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def load_checkpoint(folder: Path, wanted: set[str]) -> dict[str, Any] | None:
    """Returns the last checkpoint that contains all `wanted` run ids, or None.

    If the last one is damaged, logs a warning and returns the one before it.
    """
    path, content, damaged = latest_checkpoint(
        folder, lambda content: wanted <= set(content["ids"])
    )
    for line in damaged:
        say(f"{folder}: {line}, skipped")
    return content if path is not None else None
