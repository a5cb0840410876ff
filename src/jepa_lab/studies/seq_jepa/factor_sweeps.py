"""FactorSweeps: measures how the encoder's features move with one factor of the views."""

from __future__ import annotations

import math
import time
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.metrics.factors import projector, stability
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import Sweeps, sweep_factors

MEMORY = 0.9  # share of the mean projector that is kept in each update


class FactorSweeps(pl.Callback):
    """Logs `val/sweep/<factor>/<metric>` and `val/sweep/overlap/<f>-<g>` of the anchors `images`.

    The anchors are (n, C, H, W) uint8. The sweeps run after training. With `every` they also run at
    every `every`-th validation. Then `val/sweep/<factor>/stability` is logged too, which compares
    the projector with a running mean of the earlier ones (of which each update keeps 0.9). `result`
    holds the last sweeps, for figures. Nothing is logged for views without factors. Features that
    are not finite are logged as NaN.
    """

    def __init__(self, images: Tensor, every: int | None = None) -> None:
        self.images = images
        self.every = every
        self.result: Sweeps | None = None
        self.seconds = 0.0
        self._projectors: dict[str, Tensor] = {}
        self._validations = 0
        self._step = -1

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        prefix = pl_module.eval_prefix
        if prefix == "val":
            self._validations += 1
        due = prefix == "test" or (
            prefix == "val" and self.every is not None and self._validations % self.every == 0
        )
        if not due or not pl_module.group.sweeps():
            return
        start = time.perf_counter()
        self.result = sweep_factors(
            pl_module.network.encode, pl_module.group, self.images.to(pl_module.device)
        )
        if self._step != trainer.global_step:
            self._step = trainer.global_step
            values = self.result.metrics() | (self._stabilities() if self.every is not None else {})
            log_metrics(trainer, {f"val/sweep/{name}": value for name, value in values.items()})
        self.seconds += time.perf_counter() - start

    def _stabilities(self) -> dict[str, float]:
        assert self.result is not None
        values = {}
        for name, result in self.result.factors.items():
            if not result.finite:  # a later projector is compared with the last finite ones
                values[f"{name}/stability"] = math.nan
                continue
            mean, new = self._projectors.get(name), projector(result.basis)
            if mean is not None:
                values[f"{name}/stability"] = float(stability(mean, result.basis))
            self._projectors[name] = new if mean is None else torch.lerp(new, mean, MEMORY)
        return values

    def state_dict(self) -> dict[str, Any]:
        state = {
            "projectors": self._projectors,
            "validations": self._validations,
            "step": self._step,
        }
        return state | {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._projectors = state_dict["projectors"]
        self._validations, self._step = state_dict["validations"], state_dict["step"]
        self.seconds = state_dict["seconds"]
