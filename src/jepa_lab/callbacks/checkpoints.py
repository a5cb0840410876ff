"""Checkpoints from which a run goes on with the same bits: last.ckpt and best.ckpt."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from jepa_lab.ledger.parquet import ParquetLedger


class RandomState(pl.Callback):
    """Keeps the random streams of torch, numpy and Python in checkpoints and puts them back before the first batch."""

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        name, keys, position, has_gauss, cached = np.random.get_state()
        state: dict[str, Any] = {
            "torch": torch.get_rng_state(),
            "numpy": [
                name,
                torch.from_numpy(np.asarray(keys).astype(np.int64)),
                int(position),
                int(has_gauss),
                float(cached),
            ],
            "python": list(random.getstate()[1]),
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        state, self._restored = self._restored, None
        if state is None:
            return
        torch.set_rng_state(state["torch"].cpu())
        name, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
        random.setstate((3, tuple(state["python"]), None))
        if "cuda" in state:
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


class Saver(Checkpoint):
    """Writes `last.ckpt` after every validation and, in between, every `every_s` seconds; `best.ckpt` is the one with
    the highest value of `monitor`. Both appear whole or not at all.

    Never saves on the last batch of an epoch: a validation may follow, and a run resumed from there would skip it. With
    `ledger`, the checkpoint holds how many rows of metrics belong to it.
    """

    def __init__(self, folder: Path, monitor: str, ledger: ParquetLedger | None = None, every_s: float = 60.0) -> None:
        self.folder = folder
        self.monitor = monitor
        self.ledger = ledger
        self.every_s = every_s
        self.best: float | None = None
        self.best_step = -1
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        due = time.monotonic() - self._saved_at >= self.every_s
        if due and trainer.global_step != self._saved_step and not trainer.is_last_batch and not trainer.should_stop:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != "fit":
            return
        value = trainer.callback_metrics.get(self.monitor)
        better = value is not None and (self.best is None or float(value) > self.best)
        if better:
            self.best, self.best_step = float(value), trainer.global_step  # type: ignore[arg-type]
        last = self._save(trainer)
        if better:
            _copy_whole(last, self.folder / "best.ckpt")

    def _save(self, trainer: pl.Trainer) -> Path:
        last, partial = self.folder / "last.ckpt", self.folder / "last.ckpt.tmp"
        trainer.save_checkpoint(partial)
        _sync(partial)
        os.replace(partial, last)
        self._saved_at, self._saved_step = time.monotonic(), trainer.global_step
        return last

    def state_dict(self) -> dict[str, Any]:
        rows = self.ledger.state_dict() if self.ledger is not None else {}
        return {"best": self.best, "best_step": self.best_step, "ledger": rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]
        if self.ledger is not None and state_dict["ledger"]:
            self.ledger.load_state_dict(state_dict["ledger"])


def _copy_whole(source: Path, destination: Path) -> None:
    partial = destination.with_name(destination.name + ".tmp")
    shutil.copyfile(source, partial)
    _sync(partial)
    os.replace(partial, destination)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
