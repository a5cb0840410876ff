"""Draws all measurements of one toy run over time, as a page of panels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER, save
from jepa_lab.report.panels import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION
from jepa_lab.studies.linear_byol.figures.cells import diverged_step
from jepa_lab.studies.linear_byol.figures.style import DPI, INFINITE, settle, short

LEAST_R2 = -0.25  # lower limit of an axis that is not logarithmic
LEAST_SPAN = 1e-3  # least span of such an axis, so that rounding is not drawn as a change
DASHED = (0, (4, 2))
NOTHING = "no finite value above 0"

# title, unit, {column: (label, colour)}, whether only positive values are valid
PANELS: tuple[tuple[str, str, dict[str, tuple[str, str]], bool], ...] = (
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
    """Returns the figure of `draw_run`. A run that diverged before anything was measured has an
    empty panel of the loss."""
    columns, dashed = numeric_columns(table), numeric_columns(theory) if theory is not None else {}
    filled = [
        panel
        for panel in PANELS
        if any(np.isfinite(_values(columns, name)).any() for name in panel[2])
    ] or [PANELS[0]]
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
                linestyle=DASHED,
                zorder=4,
            )
        shown = [_values(source, name) for source in (columns, dashed) for name in series]
        if title == "Step times curvature":
            bound = columns["d_latent"][:1] * (1 + columns["mom_pred"][:1])
            ax.axhline(bound[0], color=GREY, linewidth=1.1, linestyle=":", label="stable below")
            shown.append(bound)
        if math.isfinite(broken):
            ax.axvline(broken, color=VERMILION, linewidth=1.4, linestyle=":")
        log_steps(ax)
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


def numeric_columns(table: pa.Table) -> dict[str, np.ndarray]:
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


def log_steps(ax: Any) -> None:
    """Sets a logarithmic axis of steps without minor ticks. Minor ticks would take a third of the
    page's drawing time."""
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())


def _range(ax: Any, values: Sequence[np.ndarray], positive: bool) -> None:
    """Sets limits that include all `values`, those of the theory and of a bound among them. The
    axis is logarithmic if they span a decade."""
    shown = np.concatenate([v[np.isfinite(v) & ((v > 0) | (not positive))] for v in values])
    if not shown.size:  # a logarithmic axis without data cannot be drawn
        ax.set_xlim(0.9, 1.1)
        ax.text(0.5, 0.5, NOTHING, transform=ax.transAxes, ha="center", color=GREY, fontsize=8)
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
