"""Figures of the toy over time: the singular values of the predictor approaching those of the
optimum, and a page with all measurements of one run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from jepa_lab.errors import UserError
from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER, save
from jepa_lab.report.panels import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION
from jepa_lab.studies.linear_byol.figures.cells import diverged_step
from jepa_lab.studies.linear_byol.figures.heatmaps import DPI, INFINITE, Heading, settle, short
from jepa_lab.studies.linear_byol.figures.runs import ToyTable

MOST_PANELS = 6  # panels along each axis of the grid; a finer grid is thinned
SPECTRAL_DECADES = 3  # span of the panels' common axis; smaller values count as zero
LEAST_R2 = -0.25  # lower limit of an axis that is not logarithmic
LEAST_SPAN = 1e-3  # least span of such an axis, so that rounding is not drawn as a change
_DASHED = (0, (4, 2))

# title, unit, {column: (label, colour)}, whether only positive values are valid
_PAGE: tuple[tuple[str, str, dict[str, tuple[str, str]], bool], ...] = (
    (
        "Loss",
        "mean over d",
        {
            "loss": ("minibatch", SKY),
            "loss_population": ("population", BLUE),
            "loss_star": ("irreducible", GREY),
        },
        True,
    ),
    (
        "Predictor: distance to P*",
        "Frobenius",
        {"W_Fro_raw": ("raw", BLUE), "W_Fro_aligned": ("aligned", VERMILION)},
        True,
    ),
    ("Encoder: distance to A⁺", "Frobenius", {"BA_err_aligned": ("|RᵀBA − I|", VERMILION)}, True),
    (
        "Read-out of the latent",
        "R²  (1 is perfect)",
        {"readout_r2": ("linear, from B x", BLUE)},
        False,
    ),
    ("Tracking gap", "|B − B_target|", {"tracking_gap": ("online to target", GREEN)}, True),
    (
        "Effective ranks",
        "directions",
        {"erank_encoded": ("encoded", BLUE), "erank_pred": ("predicted", VERMILION)},
        False,
    ),
    ("Curvature", "largest eigenvalue", {"Hmax": ("H", BLUE)}, True),
    (
        "Step times curvature",
        "lr × H",
        {"lr_pred*Hmax": ("α H", BLUE), "lr_enc*Hmax": ("β H", ORANGE)},
        True,
    ),
)


def draw_run(table: pa.Table, path: Path, theory: pa.Table | None = None) -> Path:
    """Writes one run's page as PNG to `path`, with a panel for every quantity that its table has.

    `theory` is the table of the deterministic population recursion with the same settings, drawn as
    dashed lines. Raises ValueError for a table without rows or without `epoch`.
    """
    return save(settle(run_figure(table, theory)), path, DPI)


def run_figure(table: pa.Table, theory: pa.Table | None = None) -> Figure:
    """Returns the figure of `draw_run`."""
    columns, dashed = _columns(table), _columns(theory) if theory is not None else {}
    filled = [
        panel
        for panel in _PAGE
        if any(np.isfinite(_values(columns, name)).any() for name in panel[2])
    ]
    across = min(4, len(filled))
    down = math.ceil(len(filled) / across)
    figure = Figure(
        figsize=(3.9 * across, 3.0 * down + 0.7), dpi=DPI, facecolor=PAPER, layout="constrained"
    )
    FigureCanvasAgg(figure)
    broken = diverged_step(columns)
    for place, (title, unit, series, positive) in enumerate(filled):
        ax = figure.add_subplot(down, across, place + 1)
        for place_in, (name, (label, colour)) in enumerate(series.items()):
            # the first line is wider, so that two lines that coincide are both visible
            width = 1.0 if name == "loss" else (2.4, 1.3, 1.3)[place_in]
            _draw_column(ax, columns, name, positive, color=colour, label=label, linewidth=width)
            _draw_column(
                ax,
                dashed,
                name,
                positive,
                color=axes.INK,
                linewidth=1.1,
                linestyle=_DASHED,
                zorder=4,
            )
        shown = [_values(source, name) for source in (columns, dashed) for name in series]
        if title == "Step times curvature":
            bound = columns["d_latent"][:1] * (1 + columns["mom_pred"][:1])
            ax.axhline(bound[0], color=GREY, linewidth=1.1, linestyle=":", label="stable below")
            shown.append(bound)
        if math.isfinite(broken):
            ax.axvline(broken, color=VERMILION, linewidth=1.4, linestyle=":")
        _log_steps(ax)
        _range(ax, shown, positive)
        axes.style_axes(ax, unit)
        ax.tick_params(which="both", labelsize=8)
        ax.set_xlabel("step", fontsize=8.5, color=axes.INK)
        axes.head(ax, title, rows=1, width=60)
    notes = [f"vermilion, dotted: diverged at step {broken:.0f}"] if math.isfinite(broken) else []
    notes += ["black, dashed: deterministic population recursion, same settings"] if dashed else []
    title = "\n".join([_run_title(table, columns), *(["; ".join(notes)] if notes else [])])
    figure.suptitle(title, x=0.012, ha="left", fontsize=10.5, color=axes.INK, linespacing=1.4)
    return figure


def singular_values_figure(runs: Sequence[ToyTable], heading: Heading, seed: int) -> Figure | None:
    """Draws the singular values of P (solid) and of P* (dashed) over steps, with a small panel for
    each (tau, row) of one seed.

    A grid finer than 6 x 6 is thinned evenly, keeping its ends. Of several betas the middle one is
    shown. The title reports both. Returns None if no run has a linear predictor.
    """
    betas = sorted({run.beta for run in runs}, key=lambda beta: beta or 0.0)
    beta = betas[(len(betas) - 1) // 2]
    mine = {(run.row, run.tau): run for run in runs if run.beta == beta and run.seed == seed}
    all_rows, all_taus = sorted({row for row, _ in mine}), sorted({tau for _, tau in mine})
    rows, taus = _thinned(all_rows), _thinned(all_taus)
    shown = {
        key: _read_spectra(run) for key, run in mine.items() if key[0] in rows and key[1] in taus
    }
    spectra = {key: found for key, found in shown.items() if found is not None}
    if not spectra:
        return None
    size = (max(6.0, 1.9 * len(taus) + 1.0), max(4.0, 1.55 * len(rows) + 1.3))
    figure = Figure(figsize=size, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(rows), len(taus), squeeze=False, sharex=True, sharey=True)
    wide, high = size
    # fixed margins: an automatic layout measures every tick of 36 panels, which takes seconds
    figure.subplots_adjust(0.75 / wide, 0.72 / high, 1 - 0.12 / wide, 1 - 0.85 / high, 0.08, 0.12)
    low, top = _spectral_range(spectra.values())
    panels[0, 0].set_yscale("log")  # shared by all
    panels[0, 0].yaxis.set_minor_locator(NullLocator())
    panels[0, 0].set_ylim(low, top)
    _log_steps(panels[0, 0])
    for down, row in enumerate(reversed(rows)):
        for across, tau in enumerate(taus):
            ax = panels[down, across]
            _draw_spectra(ax, spectra.get((row, tau)))
            ax.set_title(f"τ {short(tau)}" if down == 0 else "", fontsize=8.5, color=axes.INK)
            ax.set_ylabel(
                f"{heading.rows.replace('alpha', 'α')} {short(row)}" if across == 0 else "",
                fontsize=8.5,
            )
    notes = [f"seed {seed}"]
    notes += (
        [f"β = {short(beta)}, one of {len(betas)}"] if beta is not None and len(betas) > 1 else []
    )
    thin = len(rows) * len(taus) < len(all_rows) * len(all_taus)
    notes += (
        [f"{len(rows)} x {len(taus)} of {len(all_rows)} x {len(all_taus)} cells"] if thin else []
    )
    title = (
        f"Singular values of P over steps\nmode {heading.mode}, {heading.batch}, {', '.join(notes)}"
    )
    figure.suptitle(
        title,
        x=0.12 / wide,
        y=1 - 0.1 / high,
        ha="left",
        va="top",
        fontsize=10.5,
        color=axes.INK,
        linespacing=1.4,
    )
    handles = [
        Line2D(
            [], [], color=BLUE, linewidth=1.4, label="P, from its largest (dark) to its smallest"
        ),
        Line2D(
            [],
            [],
            color=axes.INK,
            linewidth=1,
            linestyle=_DASHED,
            label="P*, at the current encoders",
        ),
        Line2D([], [], color=VERMILION, marker="x", linewidth=0, label="diverged"),
    ]
    figure.text(0.5, 0.36 / high, "step", ha="center", fontsize=9, color=axes.INK)
    figure.legend(
        handles=handles[: 2 + any(math.isfinite(s[3]) for s in spectra.values())],
        loc="lower center",
        ncols=3,
        fontsize=8.5,
        frameon=False,
    )
    return figure


def _spectral_range(
    spectra: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray, float]],
) -> tuple[float, float]:
    """Returns the limits of a logarithmic axis, from the smallest singular value to the largest of
    P* (P may diverge), at most SPECTRAL_DECADES apart."""
    found = list(spectra)
    optima = np.concatenate([optimum.ravel() for _, _, optimum, _ in found])
    everything = np.concatenate([optima, *(values.ravel() for _, values, _, _ in found)])
    top = 1.5 * float(np.nanmax(optima))
    least = np.min(everything[np.isfinite(everything) & (everything > 0)], initial=top / 10)
    return max(float(least) / 1.5, top / 10**SPECTRAL_DECADES), top


def _draw_spectra(
    ax: Any, spectra: tuple[np.ndarray, np.ndarray, np.ndarray, float] | None
) -> None:
    ax.tick_params(labelsize=7, length=2, color=GREY)
    for spine in ax.spines.values():
        spine.set_color(axes.RULE)
    if spectra is None:
        ax.text(
            0.5,
            0.5,
            "no run",
            transform=ax.transAxes,
            ha="center",
            va="center",
            fontsize=8,
            color=GREY,
        )
        return
    steps, values, optimum, broken = spectra
    lines = ax.plot(steps, values, linewidth=1.0)
    for line, colour in zip(
        lines, colormaps["viridis"](np.linspace(0, 0.85, len(lines))), strict=True
    ):
        line.set_color(colour)
    ax.plot(steps, optimum, color=axes.INK, linewidth=0.7, linestyle=_DASHED)
    if math.isfinite(broken):
        ax.axvline(broken, color=VERMILION, linewidth=1, linestyle=":")
        place = {"transform": ax.get_xaxis_transform(), "color": VERMILION}
        ax.plot(broken, 0.93, "x", markersize=6, markeredgewidth=1.8, **place)
        ax.text(broken, 0.8, f"step {broken:.0f} ", fontsize=6.5, ha="right", **place)


def _read_spectra(run: ToyTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """Returns steps (T,), singular values of P and of P* (T, d) each, and the step of divergence.
    Returns None without such columns."""
    try:
        file = pq.ParquetFile(run.path)
        names = file.schema_arrow.names
        if not {"sv_pred", "sv_optimal"} <= set(names):
            return None
        flags = [name for name in ("diverged", "diverged_step") if name in names]
        table = file.read(
            columns=["epoch", "loss", "sv_pred", "sv_optimal", *flags], use_threads=False
        )
    except OSError as error:
        raise UserError(f"{run.path}: {error.strerror or error}") from error
    rows = [
        (p or [], o or [])
        for p, o in zip(*(table[n].to_pylist() for n in ("sv_pred", "sv_optimal")), strict=True)
    ]
    d = max((len(p) for p, _ in rows), default=0)
    if d == 0:
        return None
    values, optimum = (
        np.array([_padded(row[side], d) for row in rows], dtype=np.float64).reshape(len(rows), d)
        for side in (0, 1)
    )
    if not np.isfinite(values).any():
        return None
    return table["epoch"].to_numpy(), values, optimum, diverged_step(_columns(table))


def _padded(row: Sequence[float | None], d: int) -> list[float]:
    # the last row of a diverged run may be empty
    return [math.nan if value is None else value for value in row][:d] + [math.nan] * (d - len(row))


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    """Returns the numeric columns as float64, with the products of rates and curvature. Raises
    ValueError for an empty table."""
    if table.num_rows == 0 or "epoch" not in table.column_names:
        raise ValueError(
            f"expected a column epoch and at least one row, got {table.num_rows} rows"
            f" of {table.column_names}"
        )
    plain = [
        field.name
        for field in table.schema
        if pa.types.is_floating(field.type)
        or pa.types.is_integer(field.type)
        or pa.types.is_boolean(field.type)
    ]
    columns = {name: table[name].to_numpy().astype(np.float64) for name in plain}
    for rate in ("lr_pred", "lr_enc"):
        if {rate, "Hmax"} <= set(columns):
            columns[f"{rate}*Hmax"] = columns[rate] * columns["Hmax"]
    return columns


def _values(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return columns.get(name, np.full(1, np.nan))


def _draw_column(
    ax: Any, columns: Mapping[str, np.ndarray], name: str, positive: bool, **style: Any
) -> None:
    values = _values(columns, name)
    drawn = np.where(np.isfinite(values) & ((values > 0) | (not positive)), values, np.nan)
    if not np.isfinite(drawn).any():
        return
    marker = "o" if len(drawn) == 1 else None
    ax.plot(columns["epoch"], drawn, marker=marker, **style)


def _log_steps(ax: Any) -> None:
    """Sets a logarithmic axis of steps without minor ticks. Minor ticks would take a third of the
    page's drawing time."""
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())


def _range(ax: Any, values: Sequence[np.ndarray], positive: bool) -> None:
    """Sets limits that include all `values`, the theory's and a bound included. The axis is
    logarithmic if they span a decade."""
    shown = np.concatenate([v[np.isfinite(v) & ((v > 0) | (not positive))] for v in values])
    if not shown.size:  # a logarithmic axis without data cannot be drawn
        ax.set_xlim(0.9, 1.1)
        ax.text(
            0.5, 0.5, "nothing above 0", transform=ax.transAxes, ha="center", color=GREY, fontsize=8
        )
        return
    low, high = float(shown.min()), float(shown.max())
    if positive and high > 10 * low:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
        if high > 1000 * low:
            ax.yaxis.set_minor_locator(NullLocator())
        room = (high / low) ** 0.08
        ax.set_ylim(low / room, high * room)
    elif not positive:
        low = max(low, LEAST_R2)  # R² falls without bound once a run has diverged
        span = max(high - low, LEAST_SPAN)
        ax.set_ylim(low - 0.1 * span, low + 1.1 * span)
        ax.ticklabel_format(axis="y", useOffset=False)


def _run_title(table: pa.Table, columns: Mapping[str, np.ndarray]) -> str:
    names = [
        name for name in ("run_id", "lr_enc_mode", "enc", "pred") if name in table.column_names
    ]
    texts = {name: table[name][0].as_py() for name in names}
    infinite = "population" in table.column_names and bool(table["population"][0].as_py())
    numbers = [
        INFINITE if infinite and label == "batch" else f"{label} {short(float(columns[name][0]))}"
        for name, label in (
            ("seed", "seed"),
            ("batch_size", "batch"),
            ("tau", "τ"),
            ("lr_pred", "α"),
            ("lr_enc", "β"),
            ("mom_pred", "μ"),
            ("mom_enc", "μ_enc"),
        )
        if name in columns
    ]
    mode = f"mode {texts['lr_enc_mode']}" if "lr_enc_mode" in texts else ""
    first = " · ".join(part for part in (f"run {texts.get('run_id', '')}".strip(), mode) if part)
    return f"{first}\n{', '.join(numbers)}"


def _thinned(values: Sequence[float]) -> list[float]:
    if len(values) <= MOST_PANELS:
        return list(values)
    return [
        values[i]
        for i in np.unique(np.linspace(0, len(values) - 1, MOST_PANELS).round().astype(int))
    ]
