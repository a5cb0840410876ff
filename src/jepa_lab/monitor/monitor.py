"""Monitor: watches the features of any training loop and says whether they collapsed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from jepa_lab.config.extensions import MetricOptions
from jepa_lab.config.statuses import STATUSES
from jepa_lab.diagnosis.finding import History
from jepa_lab.errors import nearest
from jepa_lab.monitor.curve import Curve
from jepa_lab.monitor.features import as_features, chosen, require_roles
from jepa_lab.monitor.ranks import merged
from jepa_lab.monitor.sinks import ParquetSink, sink_of
from jepa_lab.monitor.statistics import TapStatistics
from jepa_lab.monitor.verdict import MonitorVerdict, judged

IN_A_ROW = 2  # measurements with a status of `stop_on`; a single one may be an accident


class Monitor:
    """Rank, scale and agreement of named features of a training loop, with a verdict.

    - `every` is the number of steps from the start of one measurement to that of the next. Calls of
      `update` in between keep the loss and look at no features.
    - `n` is the number of samples of a measurement. Batches of several calls are joined until there
      are as many. None: the samples of one call.
    - `sink` takes the values: a name that ends in .parquet, a run of W&B, a `SummaryWriter`, a
      function of (step, values), or None.
    - `role` says what features are: {name: "embedding"} for (n, d), "views" for (n, v, d) of v
      views of each image, "tokens" for (n, t, d), "map" for (n, c, h, w). Two dimensions are an
      embedding without it.
    - `taps` selects features. Without it, all are judged but those called like labels, logits or
      losses.
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
        for name, value in (("every", every), ("n", 2 if n is None else n)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}: expected a whole number from 1")
        for status in stop_on:
            if status not in STATUSES:
                raise ValueError(f"stop_on: no status {status!r}{nearest(status, STATUSES)}")
        self.every, self.n, self.prefix, self.ranks = every, n, prefix, ranks
        self.role, self.taps = dict(role or {}), None if taps is None else list(taps)
        require_roles(self.role)
        self.stop_on, self.metrics = frozenset(stop_on), dict(metrics or {})
        self.sink = sink_of(sink)
        self.seconds, self.should_stop = 0.0, False
        self._history: dict[str, list[tuple[int, float]]] = {}
        self._losses: dict[str, Curve] = {}
        self._pass: dict[str, TapStatistics] = {}
        self._began: int | None = None  # the step at which the current measurement began
        self._last = -1
        self._bad: list[bool] = []

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
        values: dict[str, float] = {}
        if self._began is not None and step - self._began >= self.every:
            values = self.finish(self._last) if self._pass else {}
            self._began = None
        self.add_loss(step, loss)
        if self._began is None or self._pass:
            if self._began is None:
                self._began = step
            self.add(features() if callable(features) else features)
            if self.n is None or self._rows() >= self.n:
                values |= self.finish(step)
        return values

    def add_loss(self, step: int, loss: Any) -> None:
        """Adds the loss of a step without its features. Raises ValueError for a step that is
        smaller than the last one."""
        if step < self._last:
            raise ValueError(
                f"step {step} after step {self._last}: steps rise; use another Monitor for another"
                " run"
            )
        self._last = step
        for name, value in _named(loss).items():
            self._losses.setdefault(f"train/loss/{name}", Curve()).add(step, value)

    def add(self, features: Mapping[str, Any], suffix: str = "") -> None:
        """Adds a batch to the current measurement, whatever the step. `finish` ends it. `suffix`
        ends the names of its taps, as those of another data loader."""
        start = time.perf_counter()
        if not isinstance(features, Mapping):
            raise ValueError(
                f"expected a mapping {{name: features}}, got {type(features).__name__}"
            )
        for name, value in chosen(features, self.taps, self.role).items():
            z, role = as_features(name, value, self.role.get(name))
            tap = self._pass.setdefault(name + suffix, self._new_tap(name, role))
            room = None if self.n is None else max(self.n - tap.samples, 0)
            try:
                if room != 0:
                    tap.update(z[:room].cpu() if self.ranks else z[:room])
            except ValueError as error:
                raise ValueError(f"features {name + suffix!r}: {error}") from None
        self.seconds += time.perf_counter() - start

    def finish(self, step: int) -> dict[str, float]:
        """Measures what was added since the last measurement, at this step. Returns the values by
        key, `<prefix>/<tap>/<metric>`."""
        start = time.perf_counter()
        taps = merged(self._pass) if self.ranks else self._pass
        self._pass = {}
        if not taps:
            return {}
        found = {f"{t}/{k}": v for t, tap in taps.items() for k, v in tap.values().items()}
        self._record(step, {f"val/{key}": value for key, value in found.items()})
        if step <= 1 and not any(key.startswith("reference/") for key in self._history):
            self._record(step, {f"reference/{key}": value for key, value in found.items()})
        self._write_losses()
        values = {f"{self.prefix}/{key}": value for key, value in found.items()}
        if self.sink is not None:
            self.sink.write(step, values)
            self.sink.flush()
        if self.stop_on:
            self._bad = [*self._bad, self.verdict(flush=False).status in self.stop_on][-IN_A_ROW:]
            self.should_stop = len(self._bad) == IN_A_ROW and all(self._bad)
        self.seconds += time.perf_counter() - start
        return values

    def verdict(self, flush: bool = True) -> MonitorVerdict:
        """Returns the verdict on all measurements so far. Printed, it names the onset, the
        evidence, the failures in order and what to try.

        With `flush`, rows that wait for more are measured first, which all processes have to do
        together if `ranks` is set.
        """
        if flush and self._pass:
            self.finish(max(self._last, 0))
            self._began = self._last
        self._write_losses()
        if flush and self.sink is not None:
            self.sink.flush()
        return judged(self.history, self.measured_taps)

    def forget(self) -> None:
        """Drops the rows that wait for more."""
        self._pass = {}

    def rewind(self, step: int) -> None:
        """Drops everything after a step, as when a training starts again from a checkpoint."""
        self._pass, self._began, self._bad, self.should_stop = {}, None, [], False
        self._last = min(self._last, step)
        for points in self._history.values():
            points[:] = [point for point in points if point[0] <= step]
        for curve in self._losses.values():
            curve.restore([point for point in curve.points() if point[0] <= step])
        if isinstance(self.sink, ParquetSink):
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
        if self.sink is not None:
            self.sink.flush()
        return {"seconds": self.seconds, "last": self._last, "history": self.history}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a checkpoint, and with it the sink's file."""
        self.seconds, self._last = float(state["seconds"]), int(state["last"])
        self._pass, self._began, self._bad = {}, None, []
        self._history, self._losses = {}, {}
        for key, points in state["history"].items():
            if key.startswith("train/loss/"):
                self._losses.setdefault(key, Curve()).restore(points)
            else:
                self._history[key] = [(int(step), float(value)) for step, value in points]
        if isinstance(self.sink, ParquetSink):
            self.sink.resume(self._last)

    def _record(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self._history.setdefault(key, []).append((step, value))

    def _write_losses(self) -> None:
        for key, curve in self._losses.items():
            for at, value in curve.fresh():
                if self.sink is not None:
                    self.sink.write(at, {key: value})

    def _rows(self) -> int:
        return min((tap.samples for tap in self._pass.values()), default=0)

    def _new_tap(self, name: str, role: str) -> TapStatistics:
        mine = {metric: o for metric, o in self.metrics.items() if name in o.taps}
        return TapStatistics(mine, tokens=role == "tokens")


def _named(loss: Any) -> Mapping[str, Any]:
    if loss is None:
        return {}
    return loss if isinstance(loss, Mapping) else {"total": loss}
