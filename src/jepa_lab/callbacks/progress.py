"""EpochLines: how far the run is, as plain lines for a terminal or a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl


class EpochLines(pl.Callback):
    """Prints one line per validation: epoch, loss, what the study has of probes, skill, retrieval and
    codes in use, the rank, the state of the run as `state`
    tells it, time used and time left."""

    def __init__(self, epochs: int, state: Callable[[], str | None] = lambda: None) -> None:
        self.epochs = epochs
        self.state = state
        self._start = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._start = time.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            return
        done = trainer.current_epoch + 1
        seen = trainer.callback_metrics
        used = time.monotonic() - self._start
        left = used / max(done - self._first_epoch, 1) * (self.epochs - done)
        parts = [f"epoch {done:>{len(str(self.epochs))}}/{self.epochs}"]
        for key, text in (
            ("val/loss/prediction", "loss {:.4f}"),
            ("val/probe/class_from_z_agg", "class {:.1%}"),
            ("val/probe/action_from_z", "action R² {:.3f}"),
            ("val/skill", "skill {:.2f}"),
            ("val/retrieval/top1", "top 1 {:.1%}"),
            ("val/codebook/usage", "codes {:.0%}"),
            ("val/z_agg/effective_rank", "rank {:.1f}"),
        ):
            if key in seen:
                parts.append(text.format(float(seen[key])))
        state = self.state()
        if state is not None:
            parts.append(state)
        parts.append(f"{used:.0f} s, {left:.0f} s left")
        print("  ".join(parts), file=sys.stderr, flush=True)
