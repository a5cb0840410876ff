"""Figures of factor sweeps: trajectories in each factor's own plane, spectra, and the overlap of
factors."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jepa_lab.metrics.factors import is_full_turn
from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER, write_figure
from jepa_lab.report.panels import CYCLE
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import SweepResult, Sweeps

SHOWN = 32  # number of eigenvalues in the figure
NOT_FINITE = "diverged: the features are not finite"


def draw_sweeps(sweeps: Sweeps, folder: Path) -> dict[str, Path]:
    """Writes sweep_trajectories.png, sweep_spectra.png and, for two factors or more,
    sweep_overlap.png. Returns {} without factors."""
    if not sweeps.factors:
        return {}
    figures = {"sweep_trajectories": trajectories_figure, "sweep_spectra": spectra_figure}
    if len(sweeps.factors) > 1:
        figures["sweep_overlap"] = overlap_figure
    paths = {
        name: write_figure(partial(draw, sweeps), folder / f"{name}.png")
        for name, draw in figures.items()
    }
    return {name: path for name, path in paths.items() if path is not None}


def trajectories_figure(sweeps: Sweeps) -> Figure:
    """Draws a pair of axes for each factor, with curves in the plane of its two largest directions.
    The curves of some anchors are thin, their mean is thick. The colour is the factor's value, and
    the identity is marked."""
    columns = min(2, len(sweeps.factors))
    rows = -(-len(sweeps.factors) // columns)
    figure = _figure(5.0 * columns, 4.6 * rows)
    for place, result in enumerate(sweeps.factors.values()):
        ax = figure.add_subplot(rows, columns, place + 1)
        if not result.finite:
            ax.set_title(result.sweep.factor, fontsize=10, color=axes.INK, loc="left")
            axes.draw_word(ax, NOT_FINITE)
            continue
        _draw_trajectories(ax, result)
        figure.colorbar(_scale(result), ax=ax, label=_axis_label(result), pad=0.02, fraction=0.046)
    return figure


def spectra_figure(sweeps: Sweeps) -> Figure:
    """Draws the eigenvalues of Delta z over their sum on a linear and a logarithmic scale. A dashed
    line marks the factor's dimension."""
    figure = _figure(9.6, 3.8)
    for place, scale in enumerate(("linear", "log")):
        ax = figure.add_subplot(1, 2, place + 1)
        if not any(result.finite for result in sweeps.factors.values()):
            axes.draw_word(ax, NOT_FINITE)
            continue
        for (name, result), color in zip(sweeps.factors.items(), CYCLE, strict=False):
            if not result.finite:
                continue
            values = result.spectrum[:SHOWN].numpy()
            label = (
                f"{name}: {100 * result.values['explained_variance']:.0f} % in"
                f" {result.basis.shape[1]}"
            )
            ax.plot(
                np.arange(1, len(values) + 1),
                values,
                "o-",
                color=color,
                markersize=3,
                linewidth=1.4,
                label=label,
            )
            ax.axvline(
                result.basis.shape[1] + 0.5, color=color, linewidth=0.9, linestyle=(0, (4, 3))
            )
        ax.set_yscale(scale)
        if scale == "log":
            ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-6))
        axes.style_axes(ax, "share of the variance of Δz")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.set_xlabel("direction (dashed: the factor's dimension)", fontsize=8.5, color=axes.INK)
        axes.head(ax, "Spectrum of each factor's change", rows=2, width=62)
    return figure


def overlap_figure(sweeps: Sweeps) -> Figure:
    """Draws the overlap of every two factors' directions. The overlap of a factor with itself is
    1. An overlap that was not measured is empty."""
    names = list(sweeps.factors)
    grid = np.diag([1.0 if result.finite else np.nan for result in sweeps.factors.values()])
    for (f, g), value in sweeps.overlap.items():
        i, j = names.index(f), names.index(g)
        grid[i, j] = grid[j, i] = value
    size = 2.2 + 0.8 * len(names)
    figure = _figure(size + 0.8, size)
    ax = figure.add_subplot()
    image = ax.imshow(grid, cmap="cividis", vmin=0, vmax=1)
    for i, row in enumerate(grid):
        for j, value in enumerate(row):
            ax.text(
                j,
                i,
                f"{value:.2f}" if np.isfinite(value) else "–",
                ha="center",
                va="center",
                fontsize=9,
                color="w" if value < 0.6 else "k",
            )
    ax.set_xticks(range(len(names)), names, fontsize=8.5, color=axes.INK)
    ax.set_yticks(range(len(names)), names, fontsize=8.5, color=axes.INK)
    ax.set_title(
        "Overlap of factors\n(0 orthogonal, 1 the same)", fontsize=10, color=axes.INK, loc="left"
    )
    figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    return figure


def _draw_trajectories(ax: Any, result: SweepResult) -> None:
    colours = _scale(result)
    values, cyclic = result.sweep.values.numpy(), _is_turn(result)
    for curve, width, alpha in [
        *((c, 0.9, 0.45) for c in result.curves.numpy()),
        (result.mean_curve.numpy(), 3.0, 1.0),
    ]:
        points = np.concatenate([curve, curve[:1]]) if cyclic else curve
        middle = np.concatenate([values, values[:1]]) if cyclic else values
        segments = np.stack([points[:-1], points[1:]], axis=1)
        lines = LineCollection(
            list(segments), cmap=colours.cmap, norm=colours.norm, linewidths=width, alpha=alpha
        )
        lines.set_array(middle[:-1])
        ax.add_collection(lines)
    reference = result.mean_curve.numpy()[result.sweep.reference]
    ax.plot(
        *reference,
        "o",
        color=axes.INK,
        markersize=6,
        markerfacecolor="w",
        zorder=5,
        label="identity",
    )
    ax.autoscale()
    ax.set_aspect("equal", adjustable="datalim")
    axes.style_axes(ax, "second direction")
    ax.set_xlabel("first direction of Δz", fontsize=8.5, color=axes.INK)
    ax.set_title(_title(result), fontsize=10, color=axes.INK, loc="left")


def _title(result: SweepResult) -> str:
    values = result.values
    first = (
        f"{result.sweep.factor}: {100 * values['explained_variance']:.0f} % of Δz in"
        f" {result.basis.shape[1]} direction"
    )
    first += "s" if result.basis.shape[1] > 1 else ""
    second = (
        f"effective rank {values['effective_rank']:.1f}, common to all anchors"
        f" {100 * values['systematic_share']:.0f} %"
    )
    if "circle_fit" in values:
        second += f", circle fit {values['circle_fit']:.2f}"
    return f"{first}\n{second}"


def _scale(result: SweepResult) -> Any:
    values = result.sweep.values
    low, high = float(values[0]), float(values[-1])
    if _is_turn(result):
        high = low + 360.0
    return ScalarMappable(
        Normalize(low, high), "twilight_shifted" if _is_turn(result) else "viridis"
    )


def _is_turn(result: SweepResult) -> bool:
    """Returns whether the values cover a full circle without its end point."""
    if result.sweep.angles is None:
        return False
    return is_full_turn(result.sweep.angles)


def _axis_label(result: SweepResult) -> str:
    return f"{result.sweep.factor}{f', {result.sweep.unit}' if result.sweep.unit else ''}"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


__all__ = ["draw_sweeps", "overlap_figure", "spectra_figure", "trajectories_figure"]
