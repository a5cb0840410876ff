"""Gates: compares the metrics of the last epoch with the limits of the configuration, with or
without a logger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

from jepa_lab.diagnosis.gates import GateResult, evaluate_gates


class Gates(pl.Callback):
    """Compares the last values of the metrics with {gate: limit} and keeps the `results`.

    This happens at the end of training, and after a validation outside of it, so that a run resumed
    after its last step is measured too. `read` returns {metric: last value}. Without it the
    trainer's metrics are used. Raises ValueError for an unknown gate.
    """

    def __init__(
        self, limits: Mapping[str, float], read: Callable[[], Mapping[str, float]] | None = None
    ) -> None:
        evaluate_gates(limits, {})  # raises now rather than at the end
        self.limits = limits
        self.read = read
        self.results: list[GateResult] = []

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._measure(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn == "validate":
            self._measure(trainer)

    def _measure(self, trainer: pl.Trainer) -> None:
        last = (
            self.read()
            if self.read
            else {key: float(value) for key, value in trainer.callback_metrics.items()}
        )
        self.results = evaluate_gates(self.limits, last)
