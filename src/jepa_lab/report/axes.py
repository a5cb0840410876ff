"""Draws a panel: lines, the levels at initialisation, a legend above the axes, and the y range."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jepa_lab.report.panels import GREY, Panel, Series

INK, RULE = "#222222", "#DDDDDD"
REFERENCE: dict[str, Any] = {"linestyle": (0, (4, 3)), "linewidth": 1.2}
BROKEN: dict[str, Any] = {"color": INK, "linestyle": ":", "linewidth": 1.2}


def draw_panel(ax: Axes, panel: Panel, last_step: float, legend_rows: int, width: int = 58) -> None:
    """Draws `panel` into `ax`: title, legend below the title, labelled axes, steps from 0 to
    `last_step`.

    `legend_rows` is the number of rows kept free for legends, so that the titles of neighbouring
    panels align. `width` is the width of the panel in characters of the legend.
    """
    for series in panel.series:
        _draw_series(ax, series)
    for level in panel.levels:
        ax.axhline(level.value, color=level.color, label=level.label, zorder=1.5, **REFERENCE)
    for label, style in _marks(panel).items():
        ax.plot([], [], label=label, **style)
    if panel.zero_line:
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    broken = _first_broken(panel)
    if broken is not None:
        ax.axvline(broken, **BROKEN)
    _set_range(ax, panel)
    style_axes(ax, panel.unit)
    ax.set_xlabel("optimiser step", fontsize=8.5, color=INK)
    ax.set_xlim(-0.02 * (last_step or 1), 1.02 * (last_step or 1))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    head(ax, panel.title, legend_rows, width)


def legend_rows(panel: Panel, width: int = 58) -> int:
    """Returns the number of rows of the legend of `panel`. `width` is in characters."""
    labels = [series.label for series in panel.series] + [level.label for level in panel.levels]
    labels += list(_marks(panel))
    return math.ceil(len(labels) / legend_columns(labels, width))


def style_axes(ax: Axes, unit: str) -> None:
    ax.set_ylabel(unit, fontsize=8.5, color=INK)
    ax.grid(True, color=RULE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=8, length=2.5, color=GREY, labelcolor=INK)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)


def draw_word(ax: Axes, word: str) -> None:
    """Writes `word` into the middle of axes whose data cannot be drawn, and removes the ticks."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(
        0.5,
        0.5,
        word,
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize=9,
        color=GREY,
        parse_math=False,
    )


def head(ax: Axes, title: str, rows: int, width: int = 58) -> None:
    """Draws the title and below it the legend, both above the axes, so that no line is covered.

    `rows` is the height of the legend in rows, `width` that of the panel in characters."""
    _, labels = ax.get_legend_handles_labels()
    if labels:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=legend_columns(labels, width),
            fontsize=8,
            frameon=False,
            borderaxespad=0.1,
            handlelength=1.6,
            columnspacing=1.1,
            labelcolor=INK,
        )
    ax.set_title(title, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=6 + 13 * rows)


def legend_columns(labels: Sequence[str], width: int = 58) -> int:
    widest = max((len(label) for label in labels), default=1)
    return max(1, min(len(labels), width // (widest + 6)))


def _draw_series(ax: Axes, series: Series) -> None:
    steps, values = np.asarray(series.points, dtype=np.float64).T
    values = np.where(np.isfinite(values), values, np.nan)
    few = len(steps) <= 25
    ax.plot(
        steps,
        values,
        color=series.color,
        linewidth=1.0 if series.faint else 1.8,
        alpha=0.75 if series.faint else 1.0,
        marker="o" if few else None,
        markersize=6 if len(steps) == 1 else 3.2,
        label=series.label,
        zorder=2 if series.faint else 3,
        solid_capstyle="round",
    )
    if series.reference is not None and math.isfinite(series.reference):
        ax.axhline(series.reference, color=series.color, alpha=0.8, zorder=1.5, **REFERENCE)


def _marks(panel: Panel) -> dict[str, dict[str, Any]]:
    """Returns {label: line style} of the legend entries that belong to no single series."""
    marks = {}
    if any(series.reference is not None for series in panel.series):
        marks["at start"] = {"color": GREY, **REFERENCE}
    if _first_broken(panel) is not None:
        marks["NaN or inf"] = BROKEN
    return marks


def _first_broken(panel: Panel) -> float | None:
    return min(
        (step for s in panel.series for step, value in s.points if not math.isfinite(value)),
        default=None,
    )


def _set_range(ax: Axes, panel: Panel) -> None:
    shown = [series.reference for series in panel.series if series.reference is not None]
    shown += [level.value for level in panel.levels]
    shown += [value for series in panel.series for _, value in series.points]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    if panel.limits is None and low > 0 and high > 30 * low:
        ax.set_yscale("log")
        return
    floor, ceiling = panel.limits or (-math.inf, math.inf)
    if min(finite) < floor <= high:
        note = f"lowest {min(finite):.3g}, not shown"
        ax.text(0.99, 0.03, note, transform=ax.transAxes, ha="right", fontsize=7.5, color=GREY)
        low = floor
    # the axis of accuracies, shares and ranks includes zero
    low, high = min(low, 0.0) if panel.limits else low, min(high, ceiling)
    high = 1.0 if panel.limits and low == high == 0 else high
    room = (high - low) or abs(high) or 1.0
    ax.set_ylim(low - 0.04 * room, high + 0.06 * room)
