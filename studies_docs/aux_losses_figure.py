"""The figure of docs/results/aux_losses.md: every seed of every arm, and the validation value of
each weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from documents import save_figure
from jepa_lab.ledger.sweep_folder import Tuning
from jepa_lab.report.comparison.ranking import Ranking

COLOURS = ["#0072b2", "#c2500a", "#00855f", "#b0568f", "#b07d00", "#6f5bd0", "#7a7a7a"]
MARKS = "so^Dv<>"
# title, ranking, tuning, whether the metric is an accuracy
Comparison = tuple[str, Ranking | None, Tuning | None, bool]


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draws a row for each comparison.

    Left: seeds as marks (hollow if the run collapsed), their mean as a bar, its 95 % t interval as
    a band. Right: the mean over the tuning seeds against the weight, with a ring around the chosen
    weight.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    heights = [
        max(2.6, 0.7 * len(_names(ranking, tuning))) for _, ranking, tuning, _ in comparisons
    ]
    figure, grid = plt.subplots(
        len(comparisons), 2, figsize=(11, sum(heights)), height_ratios=heights, squeeze=False
    )
    names = sorted(
        {name for _, ranking, tuning, _ in comparisons for name in _names(ranking, tuning)}
    )
    looks = {
        name: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, name in enumerate(names)
    }
    for (left, right), (title, ranking, tuning, percent) in zip(grid, comparisons, strict=True):
        scale = 100 if percent else 1
        unit = ", %" if percent else ""
        _seeds(left, f"{title} on test{unit}", ranking, looks, scale)
        _weights(right, f"the same on validation{unit}", tuning, looks, scale)
        for axis in (left, right):
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
            axis.grid(color="0.92")
            axis.set_axisbelow(True)
    save_figure(figure, path, dpi=120)
    plt.close(figure)


def _names(ranking: Ranking | None, tuning: Tuning | None) -> list[str]:
    found = [one.name for one in ranking.arms] if ranking else []
    return sorted({*found, *(arm.arm for arm in tuning.arms)} if tuning else found)


def _seeds(
    axis: Any, label: str, ranking: Ranking | None, looks: dict[str, tuple[str, str]], scale: float
) -> None:
    axis.set_xlabel(label)
    arms = [one for one in ranking.arms if one.rank is not None] if ranking else []
    for at, one in enumerate(reversed(arms)):
        colour, mark = ("0.1", "o") if one.paired.is_control else looks[one.name]
        mean, half = one.paired.mean.mean, one.paired.mean.half_width
        if mean is None or ranking is None:
            continue
        if one.paired.is_control:
            axis.axvline(scale * mean, color="0.6", linestyle=":", zorder=0)
        if half is not None:
            axis.plot(
                [scale * (mean - half), scale * (mean + half)],
                [at, at],
                color=colour,
                alpha=0.2,
                linewidth=7,
                solid_capstyle="butt",
            )
        axis.plot([scale * mean] * 2, [at - 0.28, at + 0.28], color=colour, linewidth=2)
        for row in one.arm.completed():
            if row[ranking.metric] is not None:
                hollow = "collapse" in str(row["verdict"])
                axis.plot(
                    scale * row[ranking.metric],
                    at,
                    mark,
                    color=colour,
                    markersize=5,
                    alpha=0.75,
                    markerfacecolor="none" if hollow else colour,
                )
    axis.set_yticks(
        range(len(arms)),
        [one.name + " (control)" * one.paired.is_control for one in reversed(arms)],
    )
    axis.tick_params(left=False)


def _weights(
    axis: Any, label: str, tuning: Tuning | None, looks: dict[str, tuple[str, str]], scale: float
) -> None:
    axis.set_xscale("log")
    axis.set_xlabel("weight")
    axis.set_ylabel(label)
    for arm in tuning.arms if tuning else []:
        tried = [(c.weight, scale * c.mean, c.bad) for c in arm.candidates if c.mean is not None]
        colour, mark = looks[arm.arm]
        axis.plot([w for w, *_ in tried], [m for _, m, _ in tried], color=colour, linewidth=1.6)
        # the entry in the legend
        axis.plot([], [], mark, linestyle="-", color=colour, markersize=5.5, label=arm.arm)
        for c in arm.candidates:
            values = [scale * trial.value for trial in c.trials if trial.value is not None]
            axis.plot([c.weight] * len(values), values, ".", color=colour, markersize=3, alpha=0.7)
        for weight, mean, bad in tried:
            axis.plot(
                weight,
                mean,
                mark,
                color=colour,
                markersize=5.5,
                markerfacecolor="white" if bad else colour,
            )
        if arm.chosen is not None and arm.chosen.mean is not None:
            axis.plot(
                arm.chosen.weight,
                scale * arm.chosen.mean,
                "o",
                color=colour,
                markersize=13,
                markerfacecolor="none",
            )
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=9)
