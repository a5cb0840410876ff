"""The toy's values at one step: the rows of each run, and the cells in which the seeds of one
setting are combined.

A diverged run has no value. It is counted, and never shown with its last good value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.tables import open_table
from jepa_lab.studies.linear_byol.figures.runs import ToyTable
from jepa_lab.studies.linear_byol.table import unreadable

ALWAYS = ("epoch", "lr_pred", "lr_enc", "Hmax", "loss")
FLOOR = 1e-12  # a logarithm of smaller values shows rounding; the published maps clip here too
_HIGHER = ("readout_r2", "W_cos_left_min", "W_cos_right_min", "enc_cos_min", "enc_cos_mean")
_LOWER = (
    "loss",
    "log10_",
    "W_rel",
    "W_Fro",
    "BA_err",
    "enc_proj",
    "enc_procrustes",
    "excess",
    "tracking",
    "balance",
)
_NO_METRIC = frozenset({"epoch", "seed", "batch_size", "d_latent", "d_obs", "diverged_step"})


@dataclass(frozen=True)
class Trace:
    """The rows of a run. Each of `columns` has shape (T,). `diverged_step` is infinite if the run
    did not diverge."""

    run: ToyTable
    columns: Mapping[str, np.ndarray]
    diverged_step: float

    @property
    def steps(self) -> np.ndarray:
        return self.columns["epoch"]


@dataclass(frozen=True)
class Cell:
    """The seeds of one cell at one step. `values` has one entry for each seed that has a finite
    value and has not diverged.

    `alpha`, `beta_used` and `hmax` are medians over those seeds, because in auto mode the rates
    change during training.
    """

    batch_size: int
    beta: float | None
    row: float
    tau: float
    values: tuple[float, ...]
    n_seeds: int
    n_diverged: int
    alpha: float
    beta_used: float
    hmax: float

    @property
    def shown(self) -> bool:
        """Whether the cell has a value to show: more seeds survived than diverged."""
        return len(self.values) > 0 and len(self.values) > self.n_diverged

    @property
    def n_missing(self) -> int:
        return self.n_seeds - self.n_diverged - len(self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.shown else math.nan

    @property
    def sd(self) -> float:
        """The standard deviation over seeds, with n - 1. NaN for one seed."""
        return (
            float(np.std(self.values, ddof=1)) if self.shown and len(self.values) > 1 else math.nan
        )

    def quantile(self, q: float) -> float:
        return float(np.quantile(self.values, q)) if self.shown else math.nan

    def score(self, metric: str) -> float:
        """Returns the mean over seeds of log10 of the value, or of the value itself for a linear
        metric. NaN if a seed diverged."""
        if not self.shown or self.n_diverged:
            return math.nan
        values = np.asarray(self.values)
        return float(np.mean(np.log10(np.maximum(values, FLOOR)) if is_log(metric) else values))


def read_trace(run: ToyTable, metrics: Iterable[str]) -> Trace:
    """Reads the columns that the figures need. Raises UserError if the file cannot be read."""
    wanted = dict.fromkeys((*ALWAYS, *metrics))
    try:
        file = open_table(run.path)
        flags = [name for name in ("diverged", "diverged_step") if name in file.schema_arrow.names]
        table = file.read(
            columns=[*(name for name in wanted if name in run.columns), *flags], use_threads=False
        )
    except (OSError, OverLimit, pa.ArrowException) as error:
        raise unreadable(run.path, error) from error
    columns: dict[str, np.ndarray] = {name: table[name].to_numpy() for name in table.column_names}
    for name, values in columns.items():
        if name not in ("epoch", *flags):
            columns[name] = values.astype(np.float64)
    order = np.argsort(columns["epoch"], kind="stable")
    if np.any(order[1:] < order[:-1]):
        columns = {name: values[order] for name, values in columns.items()}
    return Trace(run, columns, diverged_step(columns))


def steps_logged(traces: Sequence[Trace]) -> list[int]:
    """Returns every step for which some run has a row, or would have one if it had not diverged, in
    ascending order."""
    logged = {int(step) for trace in traces for step in trace.steps}
    for trace in traces:
        every, last = trace.run.config.get("log_every"), trace.run.epochs
        if math.isfinite(trace.diverged_step) and every and last:
            logged.update(range(int(every), last + 1, int(every)), [last])
    return sorted(logged)


def choose_epoch(traces: Sequence[Trace], asked: int | None, use_last_valid: bool) -> int:
    """Returns the step that the figures show: `asked`, or the last logged step if it is None.

    Raises UserError if some runs have fewer steps in total, or if the step was never logged and
    `use_last_valid` is false.
    """
    logged = steps_logged(traces)
    epoch = logged[-1] if asked is None else asked
    budgets = sorted({trace.run.epochs for trace in traces if trace.run.epochs})
    if len(budgets) > 1 and epoch > budgets[0]:
        counts = ", ".join(f"{b} ({sum(t.run.epochs == b for t in traces)} runs)" for b in budgets)
        raise UserError(
            f"--epoch {epoch}: not all runs are that long, their epochs are {counts}; "
            f"add --where epochs={budgets[-1]} or --epoch {budgets[0]}"
        )
    if epoch < logged[0]:
        raise UserError(f"--epoch {epoch}: the first row of these runs is step {logged[0]}")
    if epoch not in logged and not use_last_valid:
        nearest = sorted(sorted(logged, key=lambda step: (abs(step - epoch), step))[:3])
        raise UserError(
            f"--epoch {epoch}: never logged; nearest: {', '.join(map(str, nearest))} (or add"
            " --use-last-valid)"
        )
    return epoch


def cells_at(
    traces: Sequence[Trace], metric: str, epoch: int, use_last_valid: bool = False
) -> list[Cell]:
    """Returns one cell for each (batch_size, beta, row, tau), in that order.

    The value is `metric` at `epoch`. With `use_last_valid` it is the last finite value up to
    `epoch`.
    """
    groups: dict[tuple[Any, ...], list[Trace]] = {}
    for trace in traces:
        groups.setdefault(trace.run.cell, []).append(trace)
    return [
        _cell(groups[key], metric, epoch, use_last_valid) for key in sorted(groups, key=_none_first)
    ]


def best_so_far(traces: Sequence[Trace], metric: str, epoch: int) -> list[Cell]:
    """Returns the cells of `cells_at` with each run's lowest value up to `epoch`. A diverged run
    has none."""
    best = []
    for trace in traces:
        values = np.where(trace.steps <= epoch, _values(trace, metric), np.nan)
        pick = np.full(len(values), np.nan)
        if np.isfinite(values).any():
            at = int(np.nanargmin(values))
            pick[at] = values[at]
        best.append(Trace(trace.run, {**trace.columns, metric: pick}, trace.diverged_step))
    return cells_at(best, metric, epoch, use_last_valid=True)


def best_cell(cells: Sequence[Cell], metric: str) -> Cell | None:
    """Returns the cell with the best score among those without a diverged seed. None for a metric
    without a better direction."""
    sign = direction(metric)
    scored = [cell for cell in cells if sign and math.isfinite(cell.score(metric))]
    return min(scored, key=lambda cell: -sign * cell.score(metric), default=None)


def direction(metric: str) -> int:
    """Returns -1 if low values are good, 1 if high values are good, and 0 for metrics without a
    better direction, such as ranks and curvatures."""
    if metric in _HIGHER:
        return 1
    return -1 if metric.startswith(_LOWER) else 0


def is_log(metric: str) -> bool:
    """Returns whether a map colours log10 of the metric, as for positive metrics that
    span decades."""
    linear = ("log10_", "erank_", "balance", "epoch", "seed", "batch_size", "d_")
    return metric not in _HIGHER and not metric.startswith(linear)


def choose_metric(
    traces: Sequence[Trace], asked: str | None, defaults: Sequence[str], option: str
) -> str | None:
    """Returns `asked`, or the first of `defaults` that has a finite value, or None.

    Raises UserError if no run has the column `asked`, or if it has no finite value. `option` names
    the command-line option in the message.
    """
    there = sorted({name for trace in traces for name in trace.run.columns} - _NO_METRIC)
    if asked is not None and asked not in there:
        raise UserError(f"{option} {asked}: no such column; available: {', '.join(there)}")
    for name in (asked,) if asked is not None else defaults:
        if any(np.isfinite(_values(trace, name)).any() for trace in traces):
            return name
    if asked is not None:
        raise UserError(f"{option} {asked}: no run has a number in this column")
    return None


def diverged_step(columns: Mapping[str, np.ndarray]) -> float:
    """Returns the step at which a run with these columns (T,) diverged, by its flag or by its loss.
    Infinite if it did not."""
    steps = columns["epoch"]
    if "diverged" in columns and columns["diverged"].astype(bool).any():
        logged = columns["diverged_step"].max() if "diverged_step" in columns else -1
        return float(logged if logged >= 0 else steps[columns["diverged"].astype(bool)][0])
    if "loss" not in columns:
        return math.inf
    broken = ~np.isfinite(columns["loss"])
    # a loss that became infinite or NaN is a divergence without a flag; a loss that was never
    # finite is just missing
    return float(steps[broken][0]) if broken.any() and not broken.all() else math.inf


def _cell(traces: Sequence[Trace], metric: str, epoch: int, use_last_valid: bool) -> Cell:
    run = traces[0].run
    diverged = sum(trace.diverged_step <= epoch for trace in traces)
    rows = [
        (t, at) for t in traces if (at := _row_at(t, metric, epoch, use_last_valid)) is not None
    ]
    values = tuple(float(t.columns[metric][at]) for t, at in rows)
    live = {
        name: _median(float(_values(t, name)[at]) for t, at in rows)
        for name in ("lr_pred", "lr_enc", "Hmax")
    }
    alpha = live["lr_pred"] if run.auto_alpha else run.row
    beta = live["lr_enc"] if run.beta is None else run.beta
    return Cell(
        run.batch_size,
        run.beta,
        run.row,
        run.tau,
        values,
        len(traces),
        diverged,
        alpha,
        beta,
        live["Hmax"],
    )


def _row_at(trace: Trace, metric: str, epoch: int, use_last_valid: bool) -> int | None:
    """Returns the index of the row that the figures show, or None if there is none."""
    if trace.diverged_step <= epoch:
        return None
    fits = trace.steps <= epoch if use_last_valid else trace.steps == epoch
    at = np.flatnonzero(fits & np.isfinite(_values(trace, metric)))
    return int(at[-1]) if at.size else None


def _values(trace: Trace, metric: str) -> np.ndarray:
    return trace.columns.get(metric, np.full(len(trace.steps), np.nan))


def _median(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else math.nan


def _none_first(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(-math.inf if part is None else part for part in key)
