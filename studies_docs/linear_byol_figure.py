"""The figure of docs/results/linear_byol.md: best alpha over tau, drift over beta, and learning
over steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER, save
from jepa_lab.report.panels import BLUE, GREY, VERMILION
from jepa_lab.studies.linear_byol.statistics import geometric
from linear_byol_runs import LEARN, SWEEP, Run, best_rate, cells, select, short


def draw(runs: list[Run], path: Path) -> Path:
    """Writes the figure as PNG and returns its path."""
    figure = Figure(figsize=(12.6, 3.9), dpi=100, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    _best(left, runs)
    _drift(middle, runs)
    _learning(right, runs)
    return save(figure, path, 100)


def _best(ax: Any, runs: list[Run]) -> None:
    for batch, colour in ((32, BLUE), (64, VERMILION)):
        found = cells(select(runs, SWEEP, lr_enc_mode="same", batch_size=batch), "tau", "lr_pred")
        taus = sorted({tau for tau, _ in found if sum(t == tau for t, _ in found) >= 5})
        middle = []
        for tau in taus:
            by_rate = {alpha: seeds for (t, alpha), seeds in found.items() if t == tau}
            seeds = sorted(set.intersection(*(set(s) for s in by_rate.values())))
            best = [
                best_rate({a: s[seed] for a, s in by_rate.items()}, "excess_loss")[0]
                for seed in seeds
            ]
            ax.plot(
                [tau] * len(best), best, "o", color=colour, markersize=3.5, alpha=0.45, linewidth=0
            )
            middle.append(geometric(best))
        ax.plot(taus, middle, "-", color=colour, linewidth=2, label=f"batch {batch}")
    line = np.array([1e-4, 1e-1])
    ax.plot(line, line, color="k", linewidth=1.3, label="α = τ")
    ax.plot(line, line / 2, color=GREY, linewidth=1.3, linestyle=(0, (4, 2)), label="α_eff = τ")
    _finish(ax, "α", "τ = 1 − m", "α of the least excess loss")
    ax.set_ylim(3e-5, 1.5e-1)


def _drift(ax: Any, runs: list[Run]) -> None:
    found = cells(
        select(runs, SWEEP, lr_enc_mode="logspace", lr_pred=1e-3, batch_size=64), "tau", "lr_enc"
    )
    taus = sorted({tau for tau, _ in found})
    for tau, colour in zip(
        taus, colormaps["viridis"](np.linspace(0, 0.85, len(taus))), strict=True
    ):
        mine = {beta: seeds for (t, beta), seeds in found.items() if t == tau and beta > 0}
        values = [
            geometric(r.last("BA_err_aligned") for r in seeds.values()) for seeds in mine.values()
        ]
        ax.plot(
            list(mine),
            values,
            "o-",
            color=colour,
            markersize=4,
            linewidth=1.8,
            label=f"τ {short(tau)}",
        )
    _finish(ax, "|RᵀBA − I|", "β", "From the optimum: how far it drifts")


def _learning(ax: Any, runs: list[Run]) -> None:
    mine = [
        run
        for mode in ("same", "logspace")
        for run in select(runs, LEARN, lr_pred=1e-2, lr_enc_mode=mode, tau=0.01)
    ]
    found = cells(mine, "lr_enc")
    for (beta,), colour in zip(found, (BLUE, "#009E73", VERMILION), strict=False):
        for i, run in enumerate(found[beta,].values()):
            label = f"β {short(beta)}" if i == 0 else None
            ax.plot(
                run.columns["epoch"],
                run.columns["enc_proj_dist"],
                color=colour,
                linewidth=1,
                alpha=0.8,
                label=label,
            )
    ax.axhline(2**0.5, color=GREY, linewidth=1.1, linestyle=":", label="√2")
    _finish(ax, "enc_proj_dist", "step", "From random weights: the row space")
    ax.set_yscale("linear")


def _finish(ax: Any, unit: str, across: str, title: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    axes.style_axes(ax, unit)
    ax.set_xlabel(across, fontsize=8.5, color=axes.INK)
    axes.head(ax, title, rows=1, width=70)
