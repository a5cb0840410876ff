"""The picture of a rollout: its error over the steps ahead, between a copy, a constant and the one-step prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jepa_lab.evaluation.rollout import Rollout
from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER, save
from jepa_lab.report.panels import CYCLE, GREY

LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (  # kind, name, how it is drawn
    ("rollout", "rollout: predictions fed back", {"color": CYCLE[0], "linewidth": 2.0}),
    ("teacher_forced", "one step from the true views", {"color": CYCLE[1], "linewidth": 1.5, "linestyle": (0, (4, 2))}),
    ("copy", "copy of the last view seen", {"color": CYCLE[2], "linewidth": 1.5}),
)


def draw_rollout(found: Rollout, folder: Path) -> Path:
    """Write rollout.png."""
    figure = Figure(figsize=(6.4, 4.2), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    steps = [step.k for step in found.steps]
    for kind, name, style in LINES:
        ax.plot(steps, [getattr(s, kind) for s in found.steps], marker="o", markersize=4, label=name, **style)
    low, high = [s.low for s in found.steps], [s.high for s in found.steps]
    ax.fill_between(steps, low, high, color=CYCLE[0], alpha=0.15, linewidth=0)
    ax.axhline(1.0, color=GREY, linewidth=1.2, linestyle=":", label="best constant: knows nothing")
    axes.style_axes(ax, "prediction loss / that of the best constant")
    ax.set_ylim(0.0, max(1.05, ax.get_ylim()[1]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(f"views ahead of the {found.observed} that were seen", fontsize=8.5, color=axes.INK)
    axes.head(ax, f"Latent rollout, {found.images} test images", rows=2, width=70)
    return save(figure, folder / "rollout.png")
