"""Gates: measures the last epoch against the limits of the configuration, with any logger or none.
Gates: measures the last epoch against the limits of the configuration, with any logger or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

from jepa_lab.diagnosis.gates import GateResult, evaluate_gates


class Gates(pl.Callback):
    """`results` of {gate: limit} from the last values of the metrics: at the end of training, and
    of an evaluation pass outside it, so that a run that goes on behind its last step is judged too.

    `read` gives {metric: last value}; without it the trainer's own metrics are read. ValueError for
    an unknown gate.
    """

    def __init__(
        self, limits: Mapping[str, float], read: Callable[[], Mapping[str, float]] | None = None
    ) -> None:
        evaluate_gates(limits, {})  # raises here rather than at the end
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
