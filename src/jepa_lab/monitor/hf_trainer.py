"""The monitor as a callback of the Trainer of Hugging Face's transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from jepa_lab.monitor.hooks import Outputs, watch
from jepa_lab.monitor.monitor import Monitor
from jepa_lab.monitor.verdict import MonitorVerdict


class CollapseCallback(TrainerCallback):
    """Measures the outputs of modules of the model, {tap: name of the module}, of the training
    batches, and prints a verdict at the end.

    `monitor` says how often, how many and where to. Its `stop_on` ends the training. The loss is
    read whenever the Trainer logs it. `verdict` is None before the end of the training.
    """

    def __init__(
        self, modules: Mapping[str, str], monitor: Monitor | None = None, verbose: bool = True
    ) -> None:
        self.modules, self.verbose = modules, verbose
        self.monitor = Monitor() if monitor is None else monitor
        self.verdict: MonitorVerdict | None = None
        self._outputs: Outputs | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.monitor.rewind(state.global_step)
        self._outputs = watch(kwargs["model"], self.modules)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self._outputs is not None
        self.monitor.update(state.global_step, dict(self._outputs))
        if self.monitor.should_stop:
            control.should_training_stop = True

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **kwargs: Any
    ) -> None:
        if "loss" in logs:
            self.monitor.add_loss(state.global_step, logs["loss"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self._outputs is not None
        self._outputs.close()
        self.verdict = self.monitor.verdict()
        if self.verbose and state.is_world_process_zero:
            print(self.verdict.brief())
