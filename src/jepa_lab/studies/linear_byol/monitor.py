"""ToyRows: measures every run of a LinearBYOL population at the logged steps, and keeps the rows
until they are written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.studies.linear_byol.config import MAX_BLOCK
from jepa_lab.studies.linear_byol.measures import measure
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL


class Blocks:
    """The steps `first` to `epochs` in blocks of at most MAX_BLOCK steps.

    A block ends at every logged step: the first step, each multiple of `log_every`, and the last
    step.
    """

    def __init__(self, first: int, epochs: int, log_every: int) -> None:
        ends = {
            1,
            epochs,
            *range(log_every, epochs + 1, log_every),
            *range(MAX_BLOCK, epochs + 1, MAX_BLOCK),
        }
        last = sorted(end for end in ends if end >= first)
        self._blocks = [
            Block(start, end)
            for start, end in zip([first, *(e + 1 for e in last)], last, strict=False)
        ]

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


class ToyRows(pl.Callback):
    """Keeps a row of every run at every logged step: the first step, each multiple of `log_every`,
    and the last step."""

    def __init__(self, log_every: int, epochs: int) -> None:
        self.log_every, self.epochs = log_every, epochs
        self._steps: list[int] = []
        self._wall_s: list[float] = []
        # {column: (rows in the end, R)}, filled row by row, so that no row is held twice
        self._tables: dict[str, np.ndarray] = {}
        self._started_at = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Seconds of training, including earlier sessions of a resumed run."""
        return time.monotonic() - self._started_at

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started_at = time.monotonic() - (self._wall_s[-1] if self._wall_s else 0.0)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Block,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, LinearBYOL)
        self.take(pl_module, batch.last)

    def take(self, module: LinearBYOL, step: int) -> None:
        """Adds the rows of this step if it is to be logged."""
        if step == 1 or step % self.log_every == 0 or step == self.epochs:
            self._fill(len(self._steps), {"loss": module.loss.cpu(), **measure(module)})
            self._steps.append(step)
            self._wall_s.append(self.wall_s)

    def columns(self, module: LinearBYOL) -> list[dict[str, np.ndarray]]:
        """Returns {column: (n,)} of each run so far, with singular values (n, d).

        The table of a diverged run ends with a row at the step of divergence. This row has the
        loss, and NaN in the other measured columns.
        """
        steps, walls = np.array(self._steps, dtype=np.int64), np.array(self._wall_s)
        tables = self._tables
        found = []
        for run, at in enumerate(module.diverged_step.tolist()):
            n = len(steps) if at < 0 else int((steps < at).sum())
            columns = {
                "epoch": steps[:n],
                "wall_s": walls[:n],
                **{k: v[:n, run] for k, v in tables.items()},
            }
            if at >= 0:
                columns = {k: np.concatenate([v, _missing(v)]) for k, v in columns.items()}
                columns["epoch"][n], columns["loss"][n] = at, float(module.loss[run])
            diverged = np.arange(len(columns["epoch"])) >= n
            found.append(
                {**columns, "diverged": diverged, "diverged_step": np.full(len(diverged), at)}
            )
        return found

    def state(self) -> dict[str, Any]:
        """Returns the state for a checkpoint: tensors and plain numbers."""
        n = len(self._steps)
        # torch saves a tensor with all of its storage: here only that of the rows so far
        tables = {name: torch.from_numpy(table[:n]) for name, table in self._tables.items()}
        return {"steps": list(self._steps), "wall_s": list(self._wall_s), "tables": tables}

    def load(self, state: dict[str, Any]) -> None:
        """Restores a state that `state` returned."""
        self._steps, self._wall_s = list(state["steps"]), list(state["wall_s"])
        for row in range(len(self._steps)):
            self._fill(row, {name: table[row] for name, table in state["tables"].items()})

    def _fill(self, row: int, values: dict[str, Tensor]) -> None:
        """Stores the values (R,) of a row, with singular values (R, d). A column that is missing in
        a row is NaN there."""
        for name in [name for name in values if name not in self._tables]:
            shape = (logged_rows(self.log_every, self.epochs), *values[name].shape)
            self._tables[name] = np.empty(shape)
            self._tables[name][:row] = np.nan
        for name, table in self._tables.items():
            table[row] = values[name].numpy() if name in values else np.nan


def logged_rows(log_every: int, epochs: int) -> int:
    """Returns the number of logged steps: the first, each multiple of `log_every`, and the last."""
    return epochs // log_every + (log_every > 1) + (epochs % log_every > 0 and epochs > 1)


def _missing(values: np.ndarray) -> np.ndarray:
    return np.full(
        (1, *values.shape[1:]), 0 if values.dtype == np.int64 else np.nan, dtype=values.dtype
    )
