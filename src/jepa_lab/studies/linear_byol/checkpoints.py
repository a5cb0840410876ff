"""ToyKeeper: the toy's checkpoints and files while it trains, its progress, and its end when it is asked to stop."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from jepa_lab.errors import RunStopped
from jepa_lab.ledger.atomic import replace_file, temporary_beside
from jepa_lab.process.stop import Stop
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.linear_byol.monitor import ToyRows


class ToyKeeper(pl.Callback):
    """Every `every_s` seconds calls `flush`, which writes the runs' tables, and writes `last.ckpt`; once `stop` has a
    reason does both and raises RunStopped. Stands behind ToyRows. `ids` name the population's runs."""

    def __init__(
        self, path: Path, ids: list[str], rows: ToyRows, flush: Callable[[], None], stop: Stop,
        max_wall_s: float | None, every_s: float, epochs: int,
    ) -> None:  # fmt: skip
        self.path, self.ids, self.rows, self.flush = path, ids, rows, flush
        self.stop, self.max_wall_s, self.every_s, self.epochs = stop, max_wall_s, every_s, epochs
        self._saved_at = time.monotonic()
        self._bar: Any = None
        self._told = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.stop.arm()
        assert isinstance(pl_module, LinearBYOL)
        done = int(pl_module.step)
        runs = len(pl_module.members)
        self._bar = tqdm(total=self.epochs, initial=done, unit="step", disable=not sys.stderr.isatty(),
                         desc=f"{runs} runs" if runs > 1 else "1 run")  # fmt: skip

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Block, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, LinearBYOL)
        gone = int((~pl_module.active).sum())
        self._tell(batch, gone)
        reason = self.stop.reason(self.max_wall_s)
        if reason is not None and batch.last < self.epochs:
            self.save(pl_module)
            self._bar.close()
            raise RunStopped(reason)
        if time.monotonic() - self._saved_at >= self.every_s and batch.last < self.epochs:
            self.save(pl_module)
        if gone == len(pl_module.members):
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.close()

    def save(self, module: LinearBYOL) -> None:
        """The tables, then the checkpoint, each whole or not at all."""
        self.flush()
        new = temporary_beside(self.path)
        try:
            torch.save({"ids": self.ids, "state": module.state_dict(), "rows": self.rows.state()}, new)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        if self.path.exists():
            os.replace(self.path, self.path.with_name("previous.ckpt"))
        replace_file(new, self.path)
        self._saved_at = time.monotonic()

    def _tell(self, batch: Block, gone: int) -> None:
        """The bar on a terminal; ten lines elsewhere."""
        self._bar.update(batch.last - batch.first + 1)
        if gone:
            self._bar.set_postfix_str(f"{gone} diverged", refresh=False)
        tenth = 10 * batch.last // self.epochs
        if self._bar.disable and tenth > self._told:
            self._told = tenth
            used = self.rows.wall_s
            left = used / batch.last * (self.epochs - batch.last)
            more = f"  {gone} diverged" if gone else ""
            print(
                f"step {batch.last}/{self.epochs}{more}  {used:.0f} s, {left:.0f} s left", file=sys.stderr, flush=True
            )


def load_checkpoint(folder: Path, wanted: set[str]) -> tuple[dict[str, Any] | None, str | None]:
    """(the checkpoint, None), or that before it with a warning where the last is damaged; (None, a warning or None)
    where there is none that holds all the `wanted` runs."""
    warning = None
    for name in ("last", "previous"):
        path = folder / f"{name}.ckpt"
        if not path.is_file():
            continue
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
            if wanted <= set(found["ids"]):
                return found, warning
        except Exception as error:  # torch raises many kinds for a broken file
            warning = f"{path}: damaged ({str(error).splitlines()[0][:80]}), left out"
    return None, warning
