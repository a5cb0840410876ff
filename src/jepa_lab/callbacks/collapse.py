"""CollapseMonitor: the monitor as a callback of any LightningModule, of both import names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.config.extensions import MetricOptions
from jepa_lab.errors import say
from jepa_lab.monitor import Monitor, MonitorVerdict
from jepa_lab.monitor.features import chosen


class CollapseMonitor(pl.Callback):
    """Measures named features after each validation, logs `<prefix>/<tap>/<metric>`, and gives a
    verdict.

    The features are a mapping {name: tensor}. The module has it as attribute `features` or returns
    it from `validation_step`. `role`, `taps`, `stop_on`, `metrics` and `sink` are those of
    `Monitor`, and so are the shapes. Entries called like losses, labels or logits are no features.
    All rows of a pass are used, those of all processes too; metrics over views use the first 2048
    images of each process. Features of a second validation loader are separate taps,
    `<tap>/dataloader_idx_1`, following Lightning. The loss of training steps is read as well.

    Without a validation loop, features are read from `training_step` every `every` optimiser steps,
    until `n` samples are there, and logged as `train/<tap>/<metric>`. Steps without features are no
    error: a line says so.

    `verdict` is None before the end of the first `fit`, `validate` or `test`, then the diagnosis of
    all taps, or that of the validations before an error that ended the `fit`. It is also printed,
    unless `verbose` is false. A new `fit` starts a new history. `validate` alone adds its pass to
    the history up to the step of the weights. `test` judges its pass alone. The seconds that the
    callback takes are logged as `monitor/seconds`.
    """

    def __init__(
        self,
        prefix: str = "val",
        verbose: bool = True,
        metrics: Mapping[str, MetricOptions] | None = None,
        *,
        role: Mapping[str, str] | None = None,
        taps: Collection[str] | None = None,
        stop_on: Collection[str] = (),
        sink: Any = None,
        every: int = 200,
        n: int = 2048,
    ) -> None:
        self.prefix, self.verbose, self.n = prefix, verbose, n
        self.verdict: MonitorVerdict | None = None
        shared: dict[str, Any] = {"role": role, "taps": taps, "metrics": metrics}
        self.monitor = Monitor(every, None, sink, stop_on=stop_on, prefix=prefix, **shared)
        self._of_test = Monitor(every, None, prefix="test", **shared)
        for part in (self.monitor, self._of_test):
            part.measurement.strict = False
        self._left: Mapping[str, Any] = {}  # features that the module had before a test
        self._said: set[str] = set()
        self._in_training = False  # whether the features of training batches are measured

    @property
    def seconds(self) -> float:
        """The time that the callback has taken."""
        return self.monitor.seconds + self._of_test.seconds

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        for monitor in (self.monitor, self._of_test):
            monitor.measurement.ranks = trainer.world_size > 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drops the history after the current step. A new `fit` starts at step 0 and drops all of
        it. A resumed one keeps the history up to its step."""
        self.monitor.rewind(trainer.global_step)
        self._in_training = not trainer.enable_validation
        self.monitor.measurement.n = self.n if self._in_training else None
        self.monitor.prefix = "train" if self._in_training else self.prefix
        if self._in_training:
            self._say_once("no validation loop: the features of training batches are measured")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        loss = loss if isinstance(loss, Tensor) and loss.numel() == 1 else None
        if not self._in_training:
            self.monitor.add_loss(trainer.global_step, loss)
            return
        found = self._features(pl_module, outputs, "training_step")
        values = self.monitor.update(trainer.global_step, found, loss)
        if values:
            self._log(trainer, values)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.monitor.forget()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        found = self._features(pl_module, outputs, "validation_step")
        self.monitor.add(found, suffix=_of_loader(dataloader_idx))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            self.monitor.forget()
        else:
            self._log(trainer, self.monitor.finish(trainer.global_step))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self.monitor.forget_before_last(trainer.global_step)
            self._conclude(trainer, self.monitor)

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._of_test.rewind(-1)
        self._left = dict(_offered(pl_module, None) or {})

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        found = self._features(pl_module, outputs, None)
        # A module that sets its attribute in validation alone still has that of the last one.
        new = {name: z for name, z in found.items() if self._left.get(name) is not z}
        self._of_test.add(new, suffix=_of_loader(dataloader_idx))

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = self._of_test.finish(trainer.global_step)
        if values:
            self._log(trainer, values)
            self._conclude(trainer, self._of_test)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._in_training:
            self.monitor.finish(trainer.global_step)
        self._conclude(trainer, self.monitor)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Judges the validations before a `fit` that ends by an error or an interruption."""
        if trainer.state.fn == "fit" and self.monitor.measured_taps:
            self.monitor.forget()  # the other processes may not come to join their rows
            self._conclude(trainer, self.monitor)

    def state_dict(self) -> dict[str, Any]:
        return self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.monitor.load_state_dict(state_dict)

    def _features(
        self, module: pl.LightningModule, outputs: Any, step: str | None
    ) -> Mapping[str, Any]:
        """Returns the mapping of the module or of the step's outputs, {} without one."""
        offered = _offered(module, outputs) or {}
        named = {
            str(name): value
            for name, value in offered.items()
            if isinstance(value, Tensor) and value.ndim > 0
        }
        wanted, role = self.monitor.measurement.taps, self.monitor.measurement.role
        kept = chosen(named, wanted, role, strict=False)
        if wanted is None:
            kept = {k: z for k, z in kept.items() if z.ndim > 1}
        if not kept and step is not None:
            there = f" (there are {', '.join(named)})" if named else ""
            self._say_once(
                f"no features from {type(module).__name__}.{step}{there}: return {{name: (n, d)"
                " tensor}, or give the module such a mapping as its attribute `features`"
            )
        return kept

    def _log(self, trainer: pl.Trainer, values: Mapping[str, float]) -> None:
        log_metrics(trainer, {**values, "monitor/seconds": self.seconds})
        if self.monitor.should_stop:
            trainer.should_stop = True

    def _conclude(self, trainer: pl.Trainer, monitor: Monitor) -> None:
        self.verdict = monitor.verdict()
        if self.verbose and trainer.is_global_zero:
            print(self.verdict.brief())

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            say(f"CollapseMonitor: {line}")


def _offered(module: pl.LightningModule, outputs: Any) -> Mapping[str, Any] | None:
    """Returns `module.features`, or a step's outputs, or None if neither is a mapping."""
    own = getattr(module, "features", None)
    found = own if isinstance(own, Mapping) and own else outputs
    return found if isinstance(found, Mapping) else None


def _of_loader(index: int) -> str:
    return f"/dataloader_idx_{index}" if index else ""
