"""Rollouts: measures once, after training, how well the network predicts several views ahead from
its own predictions."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.views.view_group import ViewGroup
from jepa_lab.studies.seq_jepa.evaluation.rollout import Rollout, measure_rollout


class Rollouts(pl.Callback):
    """Logs `val/rollout/<k>` for k >= 1: the prediction loss k views ahead divided by the loss of
    the best constant, see evaluation/rollout.py.

    It reads the first `limit` images of `source`, the validation split. `group` has `observed`
    views and one more for each step. `result` holds the measurement. The callback draws no random
    number, so it does not change the run.
    """

    def __init__(
        self, source: ImageSource, group: ViewGroup, observed: int, limit: int = 256
    ) -> None:
        self.source = source
        self.group = group
        self.observed = observed
        self.limit = limit
        self.result: Rollout | None = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if pl_module.eval_prefix != "test":  # the test pass follows training
            return
        self.result = measure_rollout(
            pl_module,
            self.group,
            self.source,
            observed=self.observed,
            split="val",
            seed=pl_module.seed,
            first_view=pl_module.eval_first_view,
            limit=self.limit,
        )
        log_metrics(trainer, {f"val/rollout/{step.k}": step.rollout for step in self.result.steps})
