"""Monitor: watches the features of any training loop and says whether they collapsed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from jepa_lab.config.extensions import MetricOptions
from jepa_lab.diagnosis.finding import History
from jepa_lab.errors import say
from jepa_lab.monitor.curve import Curve
from jepa_lab.monitor.measurement import Measurement
from jepa_lab.monitor.options import checked_options, whole_step
from jepa_lab.monitor.ranks import gathered
from jepa_lab.monitor.sinks import guarded
from jepa_lab.monitor.verdict import MonitorVerdict, judged

IN_A_ROW = 2  # measurements with a status of `stop_on`; a single one may be an accident


class Monitor:
    """Rank, scale and agreement of named features of a training loop, with a verdict.

    - `every` is the number of steps from the start of one measurement to that of the next. Calls of
      `update` in between keep the loss and look at no features.
    - `n` is the number of samples of a measurement. Batches of several calls are joined until there
      are as many. None: the samples of one call.
    - `sink` takes the values: a name that ends in .parquet, a run of W&B, a `SummaryWriter`, a
      function of (step, values), or None. A sink that fails later is left alone, with a line.
    - `role` says what features are: {name: "embedding"} for (n, d), "views" for (n, v, d) of v
      views of each image, "tokens" for (n, t, d), "map" for (n, c, h, w). Two dimensions are an
      embedding without it.
    - `taps` selects features. Without it, all are judged but those called like labels, logits or
      losses; a line names what is left out.
    - `stop_on` is a collection of statuses. After two measurements in a row with one of them,
      `should_stop` is true.
    - `ranks` joins the rows of all processes of a distributed training at each measurement. Then
      every process has to call `update` at the same steps.
    - `metrics` are further metrics of the first rows, as in docs/extending.md.

    A measurement at step 0 or 1 is also the reference of an untrained network. No gradient, random
    number or weight is touched. `seconds` is the time it has taken.
    """

    def __init__(
        self,
        every: int = 200,
        n: int | None = 2048,
        sink: Any = None,
        role: Mapping[str, str] | None = None,
        *,
        taps: Collection[str] | None = None,
        stop_on: Collection[str] = (),
        ranks: bool = False,
        metrics: Mapping[str, MetricOptions] | None = None,
        prefix: str = "val",
    ) -> None:
        checked_options(every, n, role, taps, stop_on, prefix)
        self.every, self.prefix, self.stop_on = every, prefix, frozenset(stop_on)
        self.sink = guarded(sink)
        self.seconds, self.should_stop = 0.0, False
        chosen = None if taps is None else list(taps)
        self.measurement = Measurement(n, dict(role or {}), chosen, dict(metrics or {}), ranks)
        self._history: dict[str, list[tuple[int, float]]] = {}
        self._losses: dict[str, Curve] = {}
        self._began: int | None = None  # the step at which the current measurement began
        self._collects, self._last = False, -1
        self._bad: list[bool] = []
        self._said: set[str] = set()

    def update(
        self, step: int, features: Mapping[str, Any] | Any, loss: Any = None
    ) -> dict[str, float]:
        """Takes the features and the loss of a training step. Returns the values that it measured,
        {} for most steps.

        `features` maps names to tensors or arrays, or is a function without arguments that returns
        such a mapping. The function is called only if a measurement is due. `loss` is a number, a
        tensor of one element, or a mapping of names to them. Raises ValueError for features of a
        shape that fits no role, and for a step that is smaller than the last one.
        """
        step = whole_step(step)
        values: dict[str, float] = {}
        if self._began is not None and step - self._began >= self.every:
            values = self.finish(self._last) if self._collects else {}
            self._began = None
        self.add_loss(step, loss)
        if self._began is None:
            self._began, self._collects = step, True
        if self._collects:
            self.add(features() if callable(features) else features)
            if self.measurement.is_full():
                values |= self.finish(step)
        return values

    def add_loss(self, step: int, loss: Any) -> None:
        """Adds the loss of a step without its features. Raises ValueError for a step that is
        smaller than the last one, and for a loss that is no number."""
        step = whole_step(step)
        if step < self._last:
            raise ValueError(
                f"step {step} after step {self._last}: steps rise; use another Monitor for another"
                " run"
            )
        self._last = step
        named = {} if loss is None else loss if isinstance(loss, Mapping) else {"total": loss}
        for name, value in named.items():
            try:
                self._losses.setdefault(f"train/loss/{name}", Curve()).add(step, value)
            except ValueError as error:
                raise ValueError(f"loss {str(name)!r} at step {step}: {error}") from None

    def add(self, features: Mapping[str, Any], suffix: str = "") -> None:
        """Adds a batch to the current measurement, whatever the step. `finish` ends it. `suffix`
        ends the names of its taps, as those of another data loader."""
        start = time.perf_counter()
        widths = {
            key.removeprefix("val/").removesuffix("/d"): int(points[-1][1])
            for key, points in self._history.items()
            if key.startswith("val/") and key.endswith("/d") and points
        }
        self.measurement.add(features, suffix, widths)
        for name in sorted(self.measurement.left_out - self._said):
            if self.measurement.taps is None:
                say(
                    f"Monitor: {name!r} is not judged: by its name no feature; role or taps name it"
                )
        self._said |= self.measurement.left_out
        self.seconds += time.perf_counter() - start

    def finish(self, step: int) -> dict[str, float]:
        """Measures what was added since the last measurement, at this step. Returns the values by
        key, `<prefix>/<tap>/<metric>`."""
        start = time.perf_counter()
        self._collects = False
        found = self.measurement.values()
        if not found:
            return {}
        self._record(step, {f"val/{key}": value for key, value in found.items()})
        if step <= 1 and not any(key.startswith("reference/") for key in self._history):
            self._record(step, {f"reference/{key}": value for key, value in found.items()})
        self._write_losses()
        values = {f"{self.prefix}/{key}": value for key, value in found.items()}
        self.sink.write(step, values)
        self.sink.flush()
        if self.stop_on:
            bad = judged(self.history, self.measured_taps, self._last).status in self.stop_on
            # the losses of the processes differ, and so may their verdicts
            bad = any(gathered(bad)) if self.measurement.ranks else bad
            self._bad = [*self._bad, bad][-IN_A_ROW:]
            self.should_stop = len(self._bad) == IN_A_ROW and all(self._bad)
        self.seconds += time.perf_counter() - start
        return values

    def verdict(self) -> MonitorVerdict:
        """Returns the verdict on all measurements so far. Printed, it names the onset, the
        evidence, the failures in order and what to try.

        Rows that wait for more are measured first. With `ranks` they are not, so that one process
        alone may ask.
        """
        if self.measurement and not self.measurement.ranks:
            self.finish(max(self._last, 0))
            self._began = self._last
        self._write_losses()
        self.sink.flush()
        return judged(self.history, self.measured_taps, self._last)

    def forget(self) -> None:
        """Drops the rows that wait for more."""
        self.measurement.clear()
        self._collects = False

    def rewind(self, step: int) -> None:
        """Drops everything after a step, as when a training starts again from a checkpoint."""
        self.forget()
        self._began, self._bad, self.should_stop = None, [], False
        self._last = min(self._last, step)
        for points in self._history.values():
            points[:] = [point for point in points if point[0] <= step]
        for curve in self._losses.values():
            curve.restore([point for point in curve.points() if point[0] <= step])
        self.sink.rewind(step)

    def forget_before_last(self, step: int) -> None:
        """Drops all but the last measurement of a step, and everything after it: earlier ones of
        the same step may have seen other weights."""
        self._history = {
            key: [p for p in points if p[0] < step] + points[-1:]
            for key, points in self._history.items()
            if points and points[-1][0] == step
        }

    @property
    def history(self) -> History:
        """The measured values, {key: [(step, value), ...]}."""
        return {**self._history, **{k: c.points() for k, c in self._losses.items()}}

    @property
    def measured_taps(self) -> tuple[str, ...]:
        """The names of the features that were measured."""
        keys = [k for k, points in self._history.items() if points and k.startswith("val/")]
        return tuple(dict.fromkeys(key.removeprefix("val/").rpartition("/")[0] for key in keys))

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint has to keep, and writes the sink. Rows that wait for more are
        not kept."""
        self._write_losses()
        state = {"seconds": self.seconds, "last": self._last, "history": self.history}
        return {**state, "sink": self.sink.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a checkpoint, and with it the sink's file. Raises ValueError for the state
        of something else."""
        if not isinstance(state, Mapping) or not {"seconds", "last", "history"} <= state.keys():
            raise ValueError("not the state of a Monitor: seconds, last and history are needed")
        self.forget()
        self.seconds, self._last = float(state["seconds"]), int(state["last"])
        self._began, self._bad, self._history, self._losses = None, [], {}, {}
        for key, points in state["history"].items():
            if key.startswith("train/loss/"):
                self._losses.setdefault(key, Curve()).restore(points)
            else:
                self._history[key] = [(int(step), float(value)) for step, value in points]
        self.sink.resume(state.get("sink"))

    def _record(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._history.setdefault(key, []).append((step, value))

    def _write_losses(self) -> None:
        for key, curve in self._losses.items():
            for at, value in curve.fresh():
                self.sink.write(at, {key: value})
