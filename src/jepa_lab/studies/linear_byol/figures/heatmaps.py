"""The toy's heat maps: a metric over tau and alpha with its spread over seeds. Divergence is
hatched, and the theory is drawn as lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER
from jepa_lab.report.panels import BLUE, GREY, VERMILION
from jepa_lab.studies.linear_byol.figures.cells import Cell, is_log
from jepa_lab.studies.linear_byol.figures.style import (
    Heading,
    colour_label,
    colour_scale,
    colour_value,
    facets,
    label_axes,
    luminance,
    short,
)
from jepa_lab.studies.linear_byol.figures.theory import Theory, paths

DEAD, EMPTY = "#DADADA", "#FFFFFF"
_STYLES: tuple[Any, ...] = ("-", (0, (1, 1.3)), (0, (5, 2)))


def map_figure(
    cells: Sequence[Cell], metric: str, heading: Heading, best: Cell | None, what: str = ""
) -> Figure:
    """Draws one panel for each beta (a single one except in logspace mode), with cells at (tau,
    row) and a common colour scale.

    `best` gets a frame. A grid of one row also gets a line plot below its cells, because colour
    alone shows little there.
    """
    betas = sorted({cell.beta for cell in cells}, key=lambda beta: beta or 0.0)
    taus, rows = sorted({cell.tau for cell in cells}), sorted({cell.row for cell in cells})
    colours = colour_scale([cell.mean for cell in cells], is_log(metric))
    flat = len(rows) == 1 and len(betas) == 1
    figure, panels, columns = facets(len(betas), flat)
    beyond: list[str] = []
    for ax, beta in zip(panels, betas, strict=False):
        shown = [cell for cell in cells if cell.beta == beta]
        width = (figure.get_figwidth() - 1.8) / columns / len(taus)
        show_alpha = heading.rows == "c" and not flat
        _draw_cells(ax, shown, metric, colours, taus, rows, best, width, show_alpha)
        if heading.theory is not None:
            beyond = _draw_theory(ax, heading.theory, taus, rows)
        label_axes(ax, taus, rows, heading)
        if beta is not None:
            ax.set_title(f"β = {short(beta)}", loc="left", fontsize=9.5, color=axes.INK)
    if flat:
        _draw_row(panels[0], panels[1], cells, metric, heading)
    figure.colorbar(
        colours, ax=panels, label=colour_label(metric), pad=0.02, fraction=0.05, aspect=26
    )
    title = heading.lines(what or metric, cells)
    figure.suptitle(title, x=0.015, ha="left", fontsize=10.5, color=axes.INK, linespacing=1.4)
    handles = _legend(cells, best, heading.theory is not None, beyond)
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=3,
            fontsize=8,
            frameon=False,
            handlelength=2.4,
            columnspacing=1.4,
        )
    return figure


def _draw_cells(
    ax: Any,
    cells: Sequence[Cell],
    metric: str,
    colours: ScalarMappable,
    taus: Sequence[float],
    rows: Sequence[float],
    best: Cell | None,
    width: float,
    show_alpha: bool,
) -> None:
    grid = np.full((len(rows), len(taus)), np.nan)
    # font size: a line of about seven characters, each 0.6 em wide, must fit into its cell
    size = float(np.clip(72 * width / (7.5 * 0.62), 3.5, 8.5))
    for cell in cells:
        x, y = taus.index(cell.tau), rows.index(cell.row)
        grid[y, x] = colour_value(cell.mean, metric)
        face = colours.to_rgba(grid[y, x]) if cell.shown else (DEAD if cell.n_diverged else EMPTY)
        ink = "k" if not cell.shown or luminance(face) > 0.45 else "w"
        if not cell.shown:
            ax.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=face, linewidth=0, zorder=1.1)
            )
        if cell.n_diverged:
            hatch = "//" if cell.shown else "xxx"
            patch = Rectangle(
                (x - 0.5, y - 0.5), 1, 1, fill=False, hatch=hatch, linewidth=0, zorder=1.2
            )
            patch.set_edgecolor(ink if cell.shown else GREY)
            patch.set_alpha(0.45)
            ax.add_patch(patch)
        if size >= 4.0 or not cell.shown:
            # a box behind the number covers the lines of the theory
            box = {"facecolor": face, "edgecolor": "none", "pad": 0.8, "alpha": 0.9}
            ax.text(
                x,
                y,
                _cell_text(cell, show_alpha),
                ha="center",
                va="center",
                fontsize=size,
                color=ink,
                zorder=5,
                linespacing=1.15,
                bbox=box,
            )
    shown = np.ma.masked_invalid(grid)
    ax.imshow(shown, cmap=colours.cmap, norm=colours.norm, origin="lower", aspect="auto", zorder=1)
    ax.vlines(
        np.arange(len(taus) - 1) + 0.5, -0.5, len(rows) - 0.5, color=PAPER, linewidth=0.8, zorder=2
    )
    ax.hlines(
        np.arange(len(rows) - 1) + 0.5, -0.5, len(taus) - 0.5, color=PAPER, linewidth=0.8, zorder=2
    )
    if best is not None and best in cells:
        corner = (taus.index(best.tau) - 0.47, rows.index(best.row) - 0.47)
        ax.add_patch(
            Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=PAPER, linewidth=5, zorder=5.5)
        )
        ax.add_patch(
            Rectangle(
                corner,
                0.94,
                0.94,
                fill=False,
                edgecolor=VERMILION,
                linewidth=2.6,
                zorder=6,
                gid="best",
            )
        )


def _cell_text(cell: Cell, show_alpha: bool) -> str:
    lines = []
    if cell.shown:
        lines.append(short(cell.mean))
        if math.isfinite(cell.sd):
            lines.append(f"±{short(float(f'{cell.sd:.2g}'))}")
    if cell.n_diverged:
        lines.append(f"{cell.n_diverged}/{cell.n_seeds} div")
    elif not cell.values:
        lines.append("no value")
    if show_alpha and cell.shown and math.isfinite(cell.alpha):
        lines.append(f"α {short(cell.alpha)}")
    return "\n".join(lines)


def _draw_theory(
    ax: Any, theory: Theory, taus: Sequence[float], rows: Sequence[float]
) -> list[str]:
    """Draws the lines, and returns the labels of lines that lie outside the grid."""
    beyond = []
    for (label, path), style in zip(paths(theory, taus, rows).items(), _STYLES, strict=False):
        if path is None:
            beyond.append(label)
            continue
        ax.plot(*path, color=PAPER, linewidth=3.4, zorder=3)
        ax.plot(*path, color="k", linewidth=1.6, linestyle=style, zorder=3.1, label=label)
    ax.set_xlim(-0.5, len(taus) - 0.5)
    ax.set_ylim(-0.5, len(rows) - 0.5)
    return beyond


def _draw_row(above: Any, ax: Any, cells: Sequence[Cell], metric: str, heading: Heading) -> None:
    """Draws the one row of a map as a line plot: a dot for every seed, a line through the means,
    and a cross where the seeds diverged."""
    for at, cell in enumerate(cells):
        if cell.shown:
            dots = cell.values
            ax.plot(
                [at] * len(dots),
                dots,
                "o",
                color=GREY,
                markersize=4,
                alpha=0.8,
                linewidth=0,
                zorder=2,
            )
        elif cell.n_diverged:
            ax.plot(
                at, 0.94, "X", color=VERMILION, markersize=8, transform=ax.get_xaxis_transform()
            )
    means = [cell.mean for cell in cells]
    ax.plot(
        range(len(cells)),
        means,
        "-",
        color=BLUE,
        linewidth=1.8,
        marker="_",
        markersize=14,
        zorder=3,
    )
    low = min((value for cell in cells if cell.shown for value in cell.values), default=0.0)
    if is_log(metric) and low > 0:
        ax.set_yscale("log")
    axes.style_axes(ax, metric)
    ax.tick_params(which="both", labelsize=8)
    ax.set_xlim(-0.5, len(cells) - 0.5)
    automatic = heading.rows == "c"
    names = [short(cell.tau) + (f"\nα {short(cell.alpha)}" if automatic else "") for cell in cells]
    ax.set_xticks(range(len(cells)), names, fontsize=8, color=axes.INK)
    ax.set_xlabel(
        "τ = 1 − m" + (", below it the median α used" if automatic else ""),
        fontsize=9,
        color=axes.INK,
    )
    above.set_xticks(range(len(cells)), [""] * len(cells))
    above.set_xlabel("")
    above.set_ylabel("c" if automatic else "α", fontsize=9, color=axes.INK)


def _legend(
    cells: Sequence[Cell], best: Cell | None, theory: bool, beyond: Sequence[str]
) -> list[Any]:
    handles: list[Any] = []
    if theory:
        for label, style in zip(
            ("α_eff = τ", "α_eff H = τ", "stability: α = d(1+μ)/H"), _STYLES, strict=True
        ):
            note = " (beyond the grid)" if label in beyond else ""
            handles.append(
                Line2D([], [], color="k", linewidth=1.6, linestyle=style, label=label + note)
            )
        handles[0].set_label(f"{handles[0].get_label()}, with α_eff = 2α / d(1−μ)")
    if best is not None:
        handles.append(
            Patch(
                facecolor="none", edgecolor=VERMILION, linewidth=2, label="best, no seed diverged"
            )
        )
    if any(cell.n_diverged and not cell.shown for cell in cells):
        handles.append(
            Patch(
                facecolor=DEAD,
                edgecolor=GREY,
                hatch="xxx",
                linewidth=0,
                label="most seeds diverged",
            )
        )
    if any(cell.n_diverged and cell.shown for cell in cells):
        handles.append(
            Patch(
                facecolor="none",
                edgecolor=GREY,
                hatch="//",
                linewidth=0,
                label="some seeds diverged",
            )
        )
    return handles
