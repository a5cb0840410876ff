"""Draws all figures of a folder of toy runs, and writes their numbers and the best settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jepa_lab.errors import UserError
from jepa_lab.report.figures import save
from jepa_lab.studies.linear_byol.figures.cells import (
    Trace,
    best_cell,
    best_so_far,
    cells_at,
    choose_epoch,
    choose_metric,
    read_trace,
)
from jepa_lab.studies.linear_byol.figures.dynamics import draw_run
from jepa_lab.studies.linear_byol.figures.figure_files import best_row, write, write_best
from jepa_lab.studies.linear_byol.figures.heatmaps import map_figure
from jepa_lab.studies.linear_byol.figures.run_selection import (
    comparable,
    in_batches,
    of_mode,
    population_twin,
    where,
)
from jepa_lab.studies.linear_byol.figures.runs import ToyTable, find_runs
from jepa_lab.studies.linear_byol.figures.singular_values import singular_values_figure
from jepa_lab.studies.linear_byol.figures.slices import scatter_figure, slices_figure
from jepa_lab.studies.linear_byol.figures.style import DPI, Heading, short
from jepa_lab.studies.linear_byol.figures.theory import Theory
from jepa_lab.studies.linear_byol.key_groups import ENCODER_CONSTANTS
from jepa_lab.studies.linear_byol.table import read_rows

# the first metric with a finite value is drawn
METRICS = ("W_Fro_aligned", "excess_loss", "loss_population")
ENC_METRICS = ("BA_err_aligned", "enc_proj_dist", "enc_procrustes_fro")
ALWAYS = ("loss", "erank_encoded", "erank_pred")
_NAMES = {
    "W_Fro_aligned": "Predictor: aligned distance to the optimum, W_Fro_aligned",
    "W_Fro_raw": "Predictor: distance to the optimum, W_Fro_raw",
    "BA_err_aligned": "Encoder: aligned distance to the inverse of A, BA_err_aligned",
    "enc_proj_dist": "Encoder: distance between row spaces, enc_proj_dist",
    "enc_procrustes_fro": "Encoder: distance after rotation, enc_procrustes_fro",
    "loss": "Minibatch loss",
    "erank_encoded": "Effective rank of the encoded batch",
    "erank_pred": "Effective rank of the predicted batch",
}


@dataclass
class Drawn:
    """The result of drawing: `paths` of all files in the order of writing, rows of the `best`
    cells, and `notes` on what was left out and why."""

    paths: list[Path] = field(default_factory=list)
    best: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FigureRequest:
    """The options of the figures. `metric` and `enc_metric` are columns. None selects the first of
    METRICS or ENC_METRICS that has a finite value."""

    metric: str | None = None
    enc_metric: str | None = None
    epoch: int | None = None
    use_last_valid: bool = False
    lr_enc_mode: str | None = None
    batches: Sequence[int] | None = None
    filters: Sequence[str] = ()
    seed: int | None = None
    scatter_best: bool = False
    only: frozenset[str] | None = None  # ids of runs; None: all runs of the folder
    dynamics: bool = True  # for each batch size, also draws the page of a run in the best cell


def draw_heatmaps(
    runs_dir: Path,
    out: Path,
    metric: str | None = None,
    enc_metric: str | None = None,
    epoch: int | None = None,
    use_last_valid: bool = False,
    lr_enc_mode: str | None = None,
    batches: Sequence[int] | None = None,
    filters: Sequence[str] = (),
    seed: int | None = None,
    scatter_best: bool = False,
) -> list[Path]:
    """Writes heat maps, slices, singular values, their numbers as CSV and best_cells.csv/.json, and
    returns the paths of all files.

    A single mode is drawn into `out`, several modes into `out`/<mode>. Raises UserError if a
    request cannot be drawn.
    """
    request = FigureRequest(
        metric,
        enc_metric,
        epoch,
        use_last_valid,
        lr_enc_mode,
        batches,
        tuple(filters),
        seed,
        scatter_best,
    )
    return draw_all(Path(runs_dir), Path(out), request).paths


def draw_all(runs_dir: Path, out: Path, request: FigureRequest) -> Drawn:
    """Draws what `draw_heatmaps` describes, and also returns the best cells and the notes. Nothing
    is written unless everything can be drawn."""
    found = find_runs(runs_dir)
    runs = [run for run in found.runs if request.only is None or run.run_id in request.only]
    runs = where(runs, request.filters)
    by_mode = of_mode(in_batches(runs, request.batches), request.lr_enc_mode)
    drawn = Drawn(notes=[f"skipped: {path}: {why}" for path, why in found.skipped])
    plans = [_plan(mode, mine, request, drawn) for mode, mine in by_mode.items()]
    for plan in plans:
        plan.draw(out if len(plans) == 1 else out / plan.mode, request, drawn, found.runs)
    drawn.paths += write_best(drawn.best, out)
    return drawn


@dataclass(frozen=True)
class _Plan:
    """The figures of one mode: its runs, the rows read from them, the metrics and the step that is
    drawn. There are no metrics if no run has a finite value."""

    mode: str
    traces: list[Trace]
    metrics: list[str]
    epoch: int
    seed: int

    def draw(
        self, out: Path, request: FigureRequest, drawn: Drawn, everything: Sequence[ToyTable]
    ) -> None:
        for batch in sorted({trace.run.batch_size for trace in self.traces}):
            mine = [trace for trace in self.traces if trace.run.batch_size == batch]
            suffix = f"bs{batch}_epoch{self.epoch}"
            heading = _heading(self.mode, batch, self.epoch, mine, request.use_last_valid)
            for metric in self.metrics:
                cells = cells_at(mine, metric, self.epoch, request.use_last_valid)
                best = best_cell(cells, metric)
                figure = map_figure(cells, metric, heading, best, _NAMES.get(metric, ""))
                drawn.paths += write(
                    figure, cells, heading.rows, out / f"heatmap_{metric}_{suffix}.png"
                )
                drawn.best += [best_row(heading, metric, best)] if best else []
                if metric == "loss":
                    name = out / f"slices_loss_vs_alpha_{suffix}.png"
                    drawn.paths += write(
                        slices_figure(cells, metric, heading), cells, heading.rows, name
                    )
            if request.scatter_best and self.metrics:
                metric = self.metrics[0]
                cells = best_so_far(mine, metric, self.epoch)
                name = out / f"scatter_best_{metric}_bs{batch}.png"
                drawn.paths += write(
                    scatter_figure(cells, metric, heading), cells, heading.rows, name
                )
            values = singular_values_figure([trace.run for trace in mine], heading, self.seed)
            if values is not None:
                drawn.paths.append(save(values, out / f"singular_values_bs{batch}.png", DPI))
            if not request.dynamics:
                continue
            run = self._typical(mine, request.use_last_valid)
            twin = population_twin(run, everything)
            page = out / f"dynamics_bs{batch}_{run.run_id}.png"
            try:
                theory = read_rows(twin.path) if twin is not None else None
                drawn.paths.append(draw_run(read_rows(run.path), page, theory))
            except UserError as error:
                drawn.notes.append(f"not drawn: {page.name}: {error}")

    def _typical(self, traces: Sequence[Trace], use_last_valid: bool) -> ToyTable:
        """Returns the run whose page is drawn: a run of the best cell of the first metric, if there
        is one, with the requested seed."""
        best = None
        if self.metrics:
            metric = self.metrics[0]
            best = best_cell(cells_at(traces, metric, self.epoch, use_last_valid), metric)
        runs = [
            t.run
            for t in traces
            if best is None or t.run.cell == (best.batch_size, best.beta, best.row, best.tau)
        ]
        return next((run for run in runs if run.seed == self.seed), runs[0])


def _plan(mode: str, runs: Sequence[ToyTable], request: FigureRequest, drawn: Drawn) -> _Plan:
    once = comparable(runs)
    if len(once) < len(runs):
        drawn.notes.append(
            f"mode {mode}: {len(runs) - len(once)} repeats of runs with equal settings left out"
        )
    asked = [name for name in (request.metric, request.enc_metric) if name is not None]
    traces = _traces(once, (*METRICS, *ENC_METRICS, *ALWAYS, *asked), drawn)
    chosen = [
        choose_metric(traces, request.metric, METRICS, "--metric"),
        choose_metric(traces, request.enc_metric, ENC_METRICS, "--enc-metric"),
        *(choose_metric(traces, None, [name], "") for name in ALWAYS),
    ]
    epoch = choose_epoch(traces, request.epoch, request.use_last_valid)
    short_of = [t for t in traces if t.steps[-1] < epoch and not math.isfinite(t.diverged_step)]
    if short_of:
        what = (
            "shown at their last row"
            if request.use_last_valid
            else "without a value there (add --use-last-valid)"
        )
        drawn.notes.append(f"mode {mode}: {len(short_of)} runs end before step {epoch}: {what}")
    seeds = sorted({trace.run.seed for trace in traces})
    if request.seed is not None and request.seed not in seeds:
        raise UserError(
            f"--seed {request.seed}: no such run; available: {', '.join(map(str, seeds))}"
        )
    metrics = list(dict.fromkeys(name for name in chosen if name is not None))
    if not metrics:
        drawn.notes.append(f"mode {mode}: no maps, since no run has a finite value (all diverged)")
    return _Plan(mode, traces, metrics, epoch, seeds[0] if request.seed is None else request.seed)


def _traces(runs: Sequence[ToyTable], metrics: Sequence[str], drawn: Drawn) -> list[Trace]:
    """Reads the runs. One that cannot be read is left out with a note. Raises UserError if none
    can be read."""
    traces, errors = [], []
    for run in runs:
        try:
            traces.append(read_trace(run, metrics))
        except UserError as error:
            errors.append(error)
    if not traces:
        raise errors[0]
    drawn.notes += [f"skipped: {error}" for error in errors]
    return traces


def _heading(
    mode: str, batch: int, epoch: int, traces: Sequence[Trace], use_last_valid: bool
) -> Heading:
    """Returns the heading of one batch size, with the theory if the runs share a fixed
    alpha axis."""
    run = traces[0].run
    momenta = [run.config.get(name) for name in ("mom_pred", "mom_enc")]
    settings = f"momenta {' and '.join('?' if m is None else f'{m:g}' for m in momenta)}"
    name = ENCODER_CONSTANTS.get(mode)
    if (
        name is not None
        and len({t.run.config.get(name) for t in traces}) == 1
        and run.config.get(name) is not None
    ):
        settings += f", {name} {run.config[name]:g}"
    # with use_last_valid every run is read at its own last row; diverged runs have no curvature
    curvatures = [
        cell.hmax
        for cell in cells_at(traces, "Hmax", epoch, use_last_valid)
        if math.isfinite(cell.hmax)
    ]
    theory = None
    if not run.auto_alpha and curvatures and momenta[0] is not None and run.config.get("d_latent"):
        theory = Theory(
            int(run.config["d_latent"]), float(momenta[0]), float(np.median(curvatures))
        )
        settings += f", H {short(theory.curvature)}"
    infinite = all(t.run.config.get("population") for t in traces)
    return Heading(
        mode, batch, epoch, "c" if run.auto_alpha else "alpha", settings, theory, infinite
    )
