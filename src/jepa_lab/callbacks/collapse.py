"""CollapseMonitor: rank, scale and agreement of named features of any LightningModule, and the
verdict on them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.config.extensions import MetricOptions
from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.metrics import CollapseStatistics, view_metrics

MAX_ROWS = 4096  # that are held of a tap where rows themselves are needed


class CollapseMonitor(pl.Callback):
    """Logs `<prefix>/<tap>/<metric>` of every named feature after each validation, n and d among
    them.

    The features are a mapping {name: (n, d) or (n, v, d) of v views of one image} that the module
    has as attribute `features` or returns from `validation_step`; entries of other shapes, as a
    loss, are left alone. Ranks and scales are of all rows of this process's pass; metrics over
    views of the first 2048 images. Features of a second validation loader are taps of their own,
    `<tap>/dataloader_idx_1` as Lightning has it. `verdict` is the diagnosis of all of them at the
    end of `fit` (also printed, unless `verbose` is false), None before; a new `fit` begins anew.
    The cost is counted in seconds under `monitor/seconds`. ValueError where a validation step
    offers no features, or ones of another width than before.
    """

    def __init__(
        self,
        prefix: str = "val",
        verbose: bool = True,
        metrics: Mapping[str, MetricOptions] | None = None,
    ) -> None:
        self.prefix = prefix
        self.metrics = metrics or {}
        self.verbose = verbose
        self.seconds = 0.0
        self.verdict: Verdict | None = None
        self._taps: dict[str, TapStatistics] = {}
        self._history: dict[str, list[tuple[int, float]]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets what an earlier `fit` has shown; of a run that goes on everything is from before
        this step."""
        for points in self._history.values():
            points[:] = [(step, value) for step, value in points if step <= trainer.global_step]

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._taps = {}

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        start = time.perf_counter()
        loader = f"/dataloader_idx_{dataloader_idx}" if dataloader_idx else ""
        for name, features in named_features(pl_module, outputs).items():
            tap = self._taps.setdefault(name + loader, self.new_tap(name))
            try:
                tap.update(features)
            except ValueError as error:
                raise ValueError(f"CollapseMonitor: features {name + loader!r}: {error}") from None
        self.seconds += time.perf_counter() - start

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        start = time.perf_counter()
        values = {
            f"{self.prefix}/{tap}/{k}": v
            for tap, seen in self._taps.items()
            for k, v in seen.values().items()
        }
        self._taps = {}
        for key, value in values.items():
            self._history.setdefault(key, []).append((trainer.global_step, value))
        self.seconds += time.perf_counter() - start
        log_metrics(trainer, {**values, "monitor/seconds": self.seconds})

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        history = {
            f"val/{key.removeprefix(f'{self.prefix}/')}": points
            for key, points in self._history.items()
        }
        taps = tuple(dict.fromkeys(key.removeprefix("val/").rpartition("/")[0] for key in history))
        # what to try is said in this package's own keys
        self.verdict = replace(judge(history, taps=taps), next=())
        if self.verbose and trainer.is_global_zero:
            print(self.verdict.line())

    def new_tap(self, name: str) -> TapStatistics:
        """What measures the features of this name in one pass."""
        return TapStatistics(
            {metric: options for metric, options in self.metrics.items() if name in options.taps}
        )

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "history": self._history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        self._history = state_dict.get("history", {})


class TapStatistics:
    """What is measured of one tap over an evaluation pass: statistics of all rows, views of the
    first images, and a user's own `metrics` by name, of the first rows."""

    def __init__(self, metrics: Mapping[str, MetricOptions] | None = None) -> None:
        self.metrics = metrics or {}
        self._rows = FirstRows(MAX_ROWS if self.metrics else 0)
        self.statistics = CollapseStatistics()
        self._views = FirstRows(MAX_ROWS // 2)

    def update(self, features: Tensor) -> None:
        """Adds (n, d) or (n, v, d) features. ValueError for another d, or another v of several,
        than before."""
        features = features.detach()
        if self.statistics.d not in (0, features.shape[-1]):
            raise ValueError(
                f"{self.statistics.d} dimensions before, now shape {tuple(features.shape)}"
            )
        self.statistics.update(features.flatten(0, -2))
        self._rows.update(features.flatten(0, -2))
        if features.ndim == 3 and features.shape[1] >= 2:
            self._views.update(features)

    def values(self) -> dict[str, float]:
        """By name, n and d included. Where the features are not finite a NaN rank and spread; of a
        single row n and d alone; what is undefined (alpha_req of few points) or infinite (a
        condition number, whose eigenvalue_ratio is 0) is left out."""
        size = {"n": float(self.statistics.n), "d": float(self.statistics.d)}
        if self.statistics.n < 2:
            return size
        values = self.statistics.values()
        if not self.statistics.finite:
            return values
        views = self._views.all()
        if views is not None and len(views) >= 2:
            values |= view_metrics(views)
        rows = self._rows.all()
        if rows is not None:
            values |= {name: float(options.measure(rows)) for name, options in self.metrics.items()}
        return {**{name: value for name, value in values.items() if math.isfinite(value)}, **size}


class FirstRows:
    """The first `limit` rows of what comes in batches."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._n = 0
        self._kept: list[Tensor] = []

    def update(self, rows: Tensor) -> None:
        """Keeps what there is room for. ValueError for rows of another shape than before."""
        if self._kept and rows.shape[1:] != self._kept[0].shape[1:]:
            raise ValueError(
                f"rows of shape {tuple(self._kept[0].shape[1:])} before, now"
                f" {tuple(rows.shape[1:])}"
            )
        if self._n < self.limit:
            self._kept.append(rows[: self.limit - self._n].detach().clone())
            self._n += len(self._kept[-1])

    def all(self) -> Tensor | None:
        """What was kept, in order; None before the first row."""
        return torch.cat(self._kept) if self._kept else None


def named_features(module: pl.LightningModule, outputs: Any) -> dict[str, Tensor]:
    """The tensors (n, d) and (n, v, d) of `module.features` if that is a mapping, else of a
    validation step's outputs.

    ValueError that says what to return where there are none.
    """
    offered = getattr(module, "features", None)
    offered = offered if isinstance(offered, Mapping) and offered else outputs
    found = {}
    for name, value in offered.items() if isinstance(offered, Mapping) else ():
        if isinstance(value, Tensor) and value.ndim in (2, 3) and value.is_floating_point():
            found[str(name)] = value
    if not found:
        raise ValueError(
            "CollapseMonitor found no features: validation_step has to return {name: (n, d) or"
            " (n, v, d) tensor}, or the module to have such a mapping as `features`;"
            f" {type(module).__name__} gave {type(offered).__name__}"
        )
    return found
