"""Draws the singular values of the predictor over time, as they approach those of the optimum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jepa_lab.files.tables import open_table
from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER
from jepa_lab.report.panels import BLUE, GREY, VERMILION
from jepa_lab.studies.linear_byol.figures.cells import diverged_step
from jepa_lab.studies.linear_byol.figures.dynamics import DASHED, log_steps, numeric_columns
from jepa_lab.studies.linear_byol.figures.runs import ToyTable
from jepa_lab.studies.linear_byol.figures.style import DPI, Heading, short

MOST_PANELS = 6  # panels along each axis of the grid; a finer grid is thinned
SPECTRAL_DECADES = 3  # span of the panels' common axis; smaller values count as zero


def singular_values_figure(runs: Sequence[ToyTable], heading: Heading, seed: int) -> Figure | None:
    """Draws the singular values of P (solid) and of P* (dashed) over steps, with a small panel for
    each (tau, row) of one seed.

    A grid finer than 6 x 6 is thinned evenly, keeping its ends. Of several betas the middle one is
    shown. The title mentions a thinned grid and a chosen beta. Returns None if no run has a linear
    predictor.
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
    log_steps(panels[0, 0])
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
            linestyle=DASHED,
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
    ax.plot(steps, optimum, color=axes.INK, linewidth=0.7, linestyle=DASHED)
    if math.isfinite(broken):
        ax.axvline(broken, color=VERMILION, linewidth=1, linestyle=":")
        place = {"transform": ax.get_xaxis_transform(), "color": VERMILION}
        ax.plot(broken, 0.93, "x", markersize=6, markeredgewidth=1.8, **place)
        ax.text(broken, 0.8, f"step {broken:.0f} ", fontsize=6.5, ha="right", **place)


def _read_spectra(run: ToyTable) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
    """Returns steps (T,), singular values of P and of P* (T, d) each, and the step of divergence.
    Returns None if such columns are missing or damaged."""
    try:
        file = open_table(run.path)
        names = file.schema_arrow.names
        if not {"sv_pred", "sv_optimal"} <= set(names):
            return None
        flags = [name for name in ("diverged", "diverged_step") if name in names]
        table = file.read(
            columns=["epoch", "loss", "sv_pred", "sv_optimal", *flags], use_threads=False
        )
    except (OSError, pa.ArrowException):
        return None
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
    return table["epoch"].to_numpy(), values, optimum, diverged_step(numeric_columns(table))


def _padded(row: Sequence[float | None], d: int) -> list[float]:
    # the last row of a diverged run may be empty
    return [math.nan if value is None else value for value in row][:d] + [math.nan] * (d - len(row))


def _thinned(values: Sequence[float]) -> list[float]:
    if len(values) <= MOST_PANELS:
        return list(values)
    return [
        values[i]
        for i in np.unique(np.linspace(0, len(values) - 1, MOST_PANELS).round().astype(int))
    ]
