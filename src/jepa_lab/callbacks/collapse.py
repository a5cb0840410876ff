"""CollapseMonitor: rank, scale and alignment of named features of any LightningModule, with a
verdict."""

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

MAX_ROWS = 4096  # kept rows of a tap, for metrics that need the rows themselves


class CollapseMonitor(pl.Callback):
    """Logs `<prefix>/<tap>/<metric>` of every named feature after each validation, including n and
    d.

    The features are a mapping {name: tensor}, where a tensor is (n, d), or (n, v, d) for v views of
    each image. The module has it as attribute `features` or returns it from `validation_step`.
    Entries of other shapes, such as a loss, are ignored. Ranks and scales use all rows of this
    process's pass. Metrics over views use the first 2048 images. Features of a second validation
    loader are separate taps, `<tap>/dataloader_idx_1`, following Lightning.

    `verdict` is None before the end of the first `fit`, `validate` or `test`, then the diagnosis of
    all taps, or that of the validations before an error that ended the `fit`. It is also printed,
    unless `verbose` is false. A new `fit` starts a new history.
    `validate` alone adds its pass to the history up to the step of the weights. `test` logs
    `test/<tap>/<metric>` and judges its pass alone; a `test_step` without features is left out. The
    seconds that the callback takes are logged as `monitor/seconds`. Raises ValueError if a
    validation step has no features, or if their width changes.
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
        self._left: dict[str, Tensor] = {}  # features that the module had before a test
        self._history: dict[str, list[tuple[int, float]]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drops the history after the current step. A new `fit` starts at step 0 and drops all of
        it. A resumed one keeps the history up to its step."""
        for points in self._history.values():
            points[:] = [(step, value) for step, value in points if step <= trainer.global_step]

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._taps = {}

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._taps, self._left = {}, features_in(pl_module, None)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._update(named_features(pl_module, outputs), dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        found = features_in(pl_module, outputs)
        # A module that sets its attribute in validation alone still has that of the last one.
        new = {name: z for name, z in found.items() if self._left.get(name) is not z}
        self._update(new, dataloader_idx)

    def _update(self, named: Mapping[str, Tensor], dataloader_idx: int) -> None:
        start = time.perf_counter()
        loader = f"/dataloader_idx_{dataloader_idx}" if dataloader_idx else ""
        for name, features in named.items():
            tap = self._taps.setdefault(name + loader, self.new_tap(name))
            try:
                tap.update(features)
            except ValueError as error:
                raise ValueError(f"CollapseMonitor: features {name + loader!r}: {error}") from None
        self.seconds += time.perf_counter() - start

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        for key, value in self._measure(trainer, self.prefix).items():
            self._history.setdefault(key, []).append((trainer.global_step, value))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._taps:
            values = self._measure(trainer, "test")
            passed = {key: [(trainer.global_step, value)] for key, value in values.items()}
            self.conclude(trainer, passed, "test")

    def _measure(self, trainer: pl.Trainer, prefix: str) -> dict[str, float]:
        """Returns and logs the metrics of the pass that ends."""
        start = time.perf_counter()
        values = {
            f"{prefix}/{tap}/{k}": v
            for tap, statistics in self._taps.items()
            for k, v in statistics.values().items()
        }
        self._taps = {}
        self.seconds += time.perf_counter() - start
        log_metrics(trainer, {**values, "monitor/seconds": self.seconds})
        return values

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            at = trainer.global_step
            # A validation at this step before may have seen other weights.
            known = {
                key: [p for p in points if p[0] < at] + points[-1:]
                for key, points in self._history.items()
                if points and points[-1][0] == at
            }
            self.conclude(trainer, known, self.prefix)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.conclude(trainer, self._history, self.prefix)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Judges the validations before a `fit` that ends by an error or an interruption."""
        if trainer.state.fn == "fit" and self._history:
            self.conclude(trainer, self._history, self.prefix)

    def conclude(
        self, trainer: pl.Trainer, history: Mapping[str, list[tuple[int, float]]], prefix: str
    ) -> None:
        """Sets and prints the verdict on metrics with this prefix."""
        read = {f"val/{key.removeprefix(f'{prefix}/')}": points for key, points in history.items()}
        taps = tuple(dict.fromkeys(key.removeprefix("val/").rpartition("/")[0] for key in read))
        # the suggestions refer to config keys, which a foreign module does not have
        self.verdict = replace(judge(read, taps=taps), next=())
        if self.verbose and trainer.is_global_zero:
            print(self.verdict.line())

    def new_tap(self, name: str) -> TapStatistics:
        """Returns empty statistics for the features of this name."""
        return TapStatistics(
            {metric: options for metric, options in self.metrics.items() if name in options.taps}
        )

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "history": self._history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
        self._history = state_dict.get("history", {})


class TapStatistics:
    """Measurements of one tap over an evaluation pass. They are statistics of all rows, metrics
    over views of the first images, and user-defined `metrics` of the first rows."""

    def __init__(self, metrics: Mapping[str, MetricOptions] | None = None) -> None:
        self.metrics = metrics or {}
        self._rows = FirstRows(MAX_ROWS if self.metrics else 0)
        self.statistics = CollapseStatistics()
        self._views = FirstRows(MAX_ROWS // 2)

    def update(self, features: Tensor) -> None:
        """Adds (n, d) or (n, v, d) features. Raises ValueError if d, or v > 1, differs from
        before."""
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
        """Returns {metric: value}, including n and d. Rank and spread are NaN if the features are
        not finite. A single row has only n and d. Undefined values (alpha_req of few points) and
        infinite ones (a condition number, whose eigenvalue_ratio is 0) are left out."""
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
    """The first `limit` rows of several batches."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._n = 0
        self._kept: list[Tensor] = []

    def update(self, rows: Tensor) -> None:
        """Keeps rows while there is room. Raises ValueError for rows of another shape than
        before."""
        if self._kept and rows.shape[1:] != self._kept[0].shape[1:]:
            raise ValueError(
                f"rows of shape {tuple(self._kept[0].shape[1:])} before, now"
                f" {tuple(rows.shape[1:])}"
            )
        if self._n < self.limit:
            self._kept.append(rows[: self.limit - self._n].detach().clone())
            self._n += len(self._kept[-1])

    def all(self) -> Tensor | None:
        """Returns the kept rows in order, or None before the first row."""
        return torch.cat(self._kept) if self._kept else None


def features_in(module: pl.LightningModule, outputs: Any) -> dict[str, Tensor]:
    """Returns the tensors (n, d) and (n, v, d) of `module.features`, or of a step's outputs if that
    attribute is not a mapping. Returns {} if there are none."""
    offered = _offered(module, outputs)
    return {
        str(name): value
        for name, value in (offered.items() if isinstance(offered, Mapping) else ())
        if isinstance(value, Tensor) and value.ndim in (2, 3) and value.is_floating_point()
    }


def named_features(module: pl.LightningModule, outputs: Any) -> dict[str, Tensor]:
    """Returns `features_in`. Raises ValueError with the expected form if there are none."""
    found = features_in(module, outputs)
    if not found:
        offered = _offered(module, outputs)
        shapes = [
            f"{name!r} of shape {tuple(value.shape)}"
            for name, value in (offered.items() if isinstance(offered, Mapping) else ())
            if isinstance(value, Tensor)
        ]
        returned = ", ".join(shapes) or type(offered).__name__
        maps = "; flatten a map (n, c, h, w) to (n, h w, c)" if shapes else ""
        raise ValueError(
            "CollapseMonitor found no features: validation_step has to return {name: (n, d) or"
            " (n, v, d) tensor}, or the module needs such a mapping as its attribute `features`;"
            f" {type(module).__name__} returned {returned}{maps}"
        )
    return found


def _offered(module: pl.LightningModule, outputs: Any) -> Any:
    offered = getattr(module, "features", None)
    return offered if isinstance(offered, Mapping) and offered else outputs
