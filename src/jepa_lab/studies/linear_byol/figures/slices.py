"""The toy's slices and scatter plots: the loss over alpha for every tau, and the position of the
best row of each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER
from jepa_lab.report.panels import GREY, VERMILION
from jepa_lab.studies.linear_byol.figures.cells import Cell
from jepa_lab.studies.linear_byol.figures.style import COLOURS, Heading, colour_value, facets, short

FEW_SEEDS = 5  # with fewer seeds, quartiles are single seeds and the band is the full range


def slices_figure(cells: Sequence[Cell], metric: str, heading: Heading) -> Figure:
    """Draws `metric` over alpha with a line for each tau, or over tau if there is only one alpha.

    The line is the median over seeds and the band their spread. Where most seeds diverged, the line
    ends and a cross is drawn at the top.
    """
    betas = sorted({cell.beta for cell in cells}, key=lambda beta: beta or 0.0)
    taus, rows = sorted({cell.tau for cell in cells}), sorted({cell.row for cell in cells})
    along_tau = len(rows) == 1 and len(taus) > 1
    figure, panels, _ = facets(len(betas))
    groups = rows if along_tau else taus
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(groups)))
    crosses = any(not cell.shown and cell.n_diverged for cell in cells)
    banded = max(cell.n_seeds for cell in cells)
    for ax, beta in zip(panels, betas, strict=False):
        for place, (group, colour) in enumerate(zip(groups, colours, strict=True)):
            mine = [c for c in cells if c.beta == beta and (c.row if along_tau else c.tau) == group]
            name = f"{heading.rows if along_tau else 'τ'} = {short(group)}"
            _draw_line(
                ax,
                sorted(mine, key=lambda c: c.tau if along_tau else c.row),
                along_tau,
                colour,
                name,
                place,
            )
        values = [value for cell in cells if cell.shown for value in cell.values]
        _log_axes(ax, taus if along_tau else rows, values, room=0.22 if crosses else 0.0)
        if heading.theory is not None and not along_tau and math.isfinite(heading.theory.curvature):
            bound = heading.theory.bound
            if rows[0] / 3 <= bound <= rows[-1] * 10:
                ax.axvline(
                    bound, color="k", linestyle=(0, (5, 2)), linewidth=1.2, label="α = d(1+μ)/H"
                )
        axes.style_axes(ax, f"{metric}, median over seeds")
        ax.tick_params(which="both", labelsize=8)
        label = "c of the automatic α" if heading.rows == "c" else "α, predictor's learning rate"
        ax.set_xlabel("τ = 1 − m" if along_tau else label, fontsize=9, color=axes.INK)
        if beta is not None:
            ax.set_title(f"β = {short(beta)}", loc="left", fontsize=9.5, color=axes.INK)
    band = (
        ""
        if banded == 1
        else f"; band: {'range' if banded < FEW_SEEDS else 'quartiles'} over seeds"
    )
    along = "τ" if along_tau else heading.rows.replace("alpha", "α")
    title = heading.lines(f"{metric[:1].upper()}{metric[1:]} along {along}{band}", cells)
    figure.suptitle(title, x=0.015, ha="left", fontsize=10.5, color=axes.INK, linespacing=1.4)
    _legend(figure, panels, crosses)
    return figure


def scatter_figure(cells: Sequence[Cell], metric: str, heading: Heading) -> Figure:
    """Draws a dot at (alpha, tau) for each setting, coloured by log10 of the mean over seeds of
    each run's best row."""
    betas = sorted({cell.beta for cell in cells}, key=lambda beta: beta or 0.0)
    shown = [colour_value(cell.mean, metric) for cell in cells if cell.shown]
    colours = ScalarMappable(Normalize(min(shown, default=0.0), max(shown, default=1.0)), COLOURS)
    figure, panels, _ = facets(len(betas))
    for ax, beta in zip(panels, betas, strict=False):
        alive = [cell for cell in cells if cell.beta == beta and cell.shown]
        dead = [cell for cell in cells if cell.beta == beta and not cell.shown and cell.n_diverged]
        value = [colour_value(cell.mean, metric) for cell in alive]
        ax.scatter(
            [cell.alpha for cell in alive],
            [cell.tau for cell in alive],
            c=value,
            cmap=colours.cmap,
            norm=colours.norm,
            s=110,
            edgecolors=axes.INK,
            linewidths=0.6,
        )
        # diverged runs with an automatic alpha have no rate, so no position
        ax.plot(
            *zip(*[(c.alpha, c.tau) for c in dead] or [(math.nan, math.nan)], strict=True),
            "X",
            color=VERMILION,
            markersize=8,
            linewidth=0,
            label="diverged" if dead else None,
        )
        _log_axes(ax, [cell.alpha for cell in alive + dead], [cell.tau for cell in cells])
        axes.style_axes(ax, "τ = 1 − m")
        ax.set_xlabel("α, predictor's learning rate", fontsize=9, color=axes.INK)
        if beta is not None:
            ax.set_title(f"β = {short(beta)}", loc="left", fontsize=9.5, color=axes.INK)
    figure.colorbar(
        colours, ax=panels, label=f"log10 of the best {metric}", pad=0.02, fraction=0.05
    )
    title = heading.lines(f"Best {metric} of each run up to this step, mean over seeds", cells)
    figure.suptitle(title, x=0.015, ha="left", fontsize=10.5, color=axes.INK, linespacing=1.4)
    _legend(figure, panels, False)
    return figure


def _draw_line(
    ax: Any, cells: Sequence[Cell], along_tau: bool, colour: Any, label: str, place: int
) -> None:
    x = np.array([cell.tau if along_tau else cell.row for cell in cells])
    low, high = (0.0, 1.0) if max(cell.n_seeds for cell in cells) < FEW_SEEDS else (0.25, 0.75)
    middle = np.array([cell.quantile(0.5) for cell in cells])
    ax.fill_between(
        x,
        [cell.quantile(low) for cell in cells],
        [cell.quantile(high) for cell in cells],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    ax.plot(x, middle, "o-", color=colour, markersize=4, linewidth=1.7, label=label)
    some = [i for i, cell in enumerate(cells) if cell.shown and cell.n_diverged]
    ax.plot(
        x[some],
        middle[some],
        "o",
        color=colour,
        markerfacecolor=PAPER,
        markersize=6,
        linewidth=0,
        zorder=4,
    )
    gone = [
        cell.tau if along_tau else cell.row for cell in cells if not cell.shown and cell.n_diverged
    ]
    # one height for each line, so that crosses at the same alpha do not cover each other
    height = [0.97 - 0.035 * place] * len(gone)
    ax.plot(
        gone,
        height,
        "x",
        color=colour,
        markersize=7,
        markeredgewidth=2,
        transform=ax.get_xaxis_transform(),
    )


def _log_axes(ax: Any, x: Sequence[float], y: Sequence[float], room: float = 0.0) -> None:
    """Sets logarithmic axes if all values are positive. `room` is the free space above, as a part
    of the range."""
    if x and min(x) > 0:
        ax.set_xscale("log")
    if y and min(y) > 0:
        ax.set_yscale("log")
        ax.set_ylim(min(y) / 1.4, max(y) * (max(y) / min(y)) ** room * 1.4)


def _legend(figure: Figure, panels: Sequence[Any], diverged: bool) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    if diverged:
        handles.append(panels[0].plot([], [], "x", color=GREY, markersize=7, markeredgewidth=2)[0])
        labels.append("most seeds diverged")
    if handles:
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(5, len(labels)),
            fontsize=8,
            frameon=False,
        )
