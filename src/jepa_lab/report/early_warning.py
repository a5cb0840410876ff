"""A figure that shows when a run went wrong: loss, ranks, scale, probes and codebook over the same
steps, with violations marked.

Only `first_violations` depends on verdicts. Any function that returns such a list can replace it.
"""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.report import axes, panels
from jepa_lab.report.figures import DPI, PAPER, write_figure
from jepa_lab.report.panels import History, Panel, Series
from jepa_lab.report.tap_panels import tap_panel

# optimiser step, the quantity as <tap>/<metric> or loss, a description
Violation = tuple[int, str, str]

FINE = ("healthy", "too_short", "inconclusive")
TAPS = ("z", "z_agg")
RANKS = (
    ("effective_rank", "effective rank (centred)", panels.BLUE),
    ("rankme", "RankMe (uncentred)", panels.ORANGE),
    ("participation_ratio", "participation ratio", panels.GREEN),
)
SCALES = (
    ("z", "feature_std_l2", "spread, z", panels.BLUE),
    ("z_agg", "feature_std_l2", "spread, z_agg", panels.VERMILION),
    ("z", "mean_pairwise_cosine", "mean cosine, z", panels.SKY),
    ("z_agg", "mean_pairwise_cosine", "mean cosine, z_agg", panels.ORANGE),
)
PROBES = (
    ("val/probe/class_from_z_agg", "class accuracy, z_agg", panels.VERMILION),
    ("val/probe/action_from_z", "action R², z", panels.BLUE),
    ("val/skill", "prediction skill", panels.GREEN),
    ("val/action_gain", "gain over shuffled actions", panels.PURPLE),
)
WIDTH, HEIGHT = 8.6, 1.95  # inches of the page, and of one panel
NEAR = 0.03  # share of all steps; marks closer than this share one number
LEGEND = 130  # width of the page in characters of the legend
MARK: dict[str, Any] = {"color": "#B03A00", "zorder": 2.5}


def draw_early_warning(
    history: History,
    folder: Path,
    *,
    title: str = "",
    find: Callable[[History], Sequence[Violation]] | None = None,
) -> Path | None:
    """Writes folder/early_warning.png and returns its path.

    Returns None and writes nothing if no panel has data. `find` replaces first_violations."""
    return write_figure(
        lambda: early_warning_figure(history, (find or first_violations)(history), title=title),
        folder / "early_warning.png",
    )


def first_violations(history: History, judge: Callable[[Any], Verdict] = judge) -> list[Violation]:
    """Returns the first occurrence of each bad verdict for each representation, sorted by step.

    The run is judged after every validation by the values logged until then. A run that recovered
    keeps its violations. The final verdict is dated by its `since_step` if that lies before the
    first validation with this verdict."""
    ends = sorted(
        {step for key, points in history.items() if key.startswith("val/") for step, _ in points}
    )
    last = max((points[-1][0] for points in history.values() if points), default=0)
    found: dict[tuple[str, str | None], Violation] = {}
    verdict: Verdict | None = None
    for end in dict.fromkeys([*ends, last]):
        verdict = judge(_until(history, end))
        for status, tap in [
            (verdict.status, verdict.tap),
            *((s, t) for t, s in verdict.per_tap.items()),
        ]:
            if status not in FINE and (status, tap) not in found:
                found[status, tap] = _violation(verdict, status, tap, end)
    own = None if verdict is None else (verdict.status, verdict.tap)
    since = None if verdict is None else verdict.since_step
    if verdict is not None and own in found and since is not None and since < found[own][0]:
        found[own] = _violation(verdict, *own, last)
    return sorted(found.values())


def early_warning_figure(
    history: History, violations: Sequence[Violation], *, title: str = ""
) -> Figure | None:
    """Returns a figure of the panels that have data, in one column over the same steps.

    Each violation is a line through all panels, with a number that the text at the top explains.
    Returns None without data."""
    shown = [(quantities, panel) for quantities, panel in _panels(history) if panel.series]
    if not shown:
        return None
    notes = [
        textwrap.wrap(f"{n}  step {step:,}: {text}", 105)
        for n, (step, _, text) in enumerate(violations, start=1)
    ]
    lines = [line for note in notes for line in note] or ["no violation at any validation"]
    band = 0.36 * bool(title) + 0.19 * len(lines) + 0.16  # inches
    height = HEIGHT * len(shown) + band + 0.3
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0, 1, 1 - band / height), h_pad=0.05, w_pad=0.08, hspace=0.02)
    steps = [step for _, panel in shown for series in panel.series for step, _ in series.points]
    last_step = max(*steps, *(step for step, _, _ in violations), 1)
    for row, (quantities, panel) in enumerate(shown):
        ax = figure.add_subplot(len(shown), 1, row + 1)
        axes.draw_panel(ax, panel, last_step, axes.legend_rows(panel, LEGEND), LEGEND)
        for step, quantity, _ in violations:
            own = quantity in quantities
            ax.axvline(
                step, linewidth=1.6 if own else 0.8, linestyle="-" if own else (0, (1, 2)), **MARK
            )
        _number(ax, [step for step, _, _ in violations], last_step)
        if row < len(shown) - 1:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    top = 1 - 0.1 / height
    figure.text(0.012, top, title, fontsize=13, fontweight="bold", color=axes.INK, va="top")
    below = top - 0.34 * bool(title) / height
    figure.text(
        0.012, below, "\n".join(lines), fontsize=9, color=axes.INK, va="top", linespacing=1.35
    )
    return figure


def _panels(history: History) -> list[tuple[set[str], Panel]]:
    """Returns (quantities, panel) for every panel, with or without data.

    A violation of one of these quantities is a solid line in the panel. Other violations are dotted
    lines."""
    found = [({"loss"}, panels.prediction_panel(history))]
    for tap in TAPS:
        ranks = {
            f"{tap}/{metric}" for metric in ("effective_rank", "rankme", "participation_ratio")
        }
        found.append((ranks, _rank_panel(history, tap)))
    spread = [_referred(history, tap, metric, label, color) for tap, metric, label, color in SCALES]
    scale = Panel(
        "Scale",
        "1 = spread evenly",
        [s for s in spread if s is not None],
        (-1.0, 1.5),
        zero_line=True,
    )
    found.append(({f"{tap}/{metric}" for tap, metric, _, _ in SCALES}, scale))
    probes = Panel(
        "Probes and prediction",
        "R², skill, share",
        panels.lines(history, PROBES),
        (-0.25, 1.0),
        True,
    )
    found.append((set(), probes))
    found.append(
        ({"codebook/usage"}, tap_panel(history, "usage", "Codebook usage", "share of codes"))
    )
    found.append(
        ({"codebook/perplexity"}, tap_panel(history, "perplexity", "Codebook perplexity", "codes"))
    )
    return found


def _rank_panel(history: History, tap: str) -> Panel:
    series = [_referred(history, tap, metric, label, color) for metric, label, color in RANKS]
    wide = panels.last_value(history, f"val/{tap}/d")
    title = f"Rank of {tap}" + ("" if wide is None else f" ({wide:.0f} dimensions)")
    return Panel(title, "dimensions", [s for s in series if s is not None], (0.0, float("inf")))


def _referred(history: History, tap: str, metric: str, label: str, color: str) -> Series | None:
    """Returns a metric of a tap with its level at initialisation, None without values."""
    points = history.get(f"val/{tap}/{metric}")
    reference = panels.last_value(history, f"reference/{tap}/{metric}")
    return Series(label, points, color, reference=reference) if points else None


def _number(ax: Axes, steps: Sequence[int], last_step: int) -> None:
    """Writes the number of each violation at the upper end of its line, in space added above the
    curves.

    Violations that are too close for two numbers share one range of numbers."""
    low, high = ax.get_ylim()
    if steps:
        ax.set_ylim(
            low,
            high * (high / low) ** 0.14 if ax.get_yscale() == "log" else high + 0.14 * (high - low),
        )
    groups: list[list[int]] = []
    for number, step in enumerate(steps, start=1):
        if groups and step - steps[groups[-1][0] - 1] <= NEAR * last_step:
            groups[-1].append(number)
        else:
            groups.append([number])
    for group in groups:
        text = str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}"
        box = {"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.85}
        ax.text(
            steps[group[0] - 1],
            0.97,
            text,
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=7.5,
            fontweight="bold",
            color=MARK["color"],
            bbox=box,
            zorder=4,
        )


def _violation(verdict: Verdict, status: str, tap: str | None, end: int) -> Violation:
    headline = (status, tap) == (verdict.status, verdict.tap)
    since = verdict.since_step if headline and verdict.since_step is not None else end
    place = f" of {tap}" if tap else ""
    text = f"{status}{place}" + (
        f": {'; '.join(verdict.reasons)}" if headline and verdict.reasons else ""
    )
    metric = "feature_std_l2" if status == "complete_collapse" else "effective_rank"
    return since, f"{tap}/{metric}" if tap else "loss", text


def _until(history: History, end: int) -> dict[str, Sequence[tuple[int, float]]]:
    """Returns the points up to step `end`. The points of every key are sorted by step."""
    cut = {
        key: points[: bisect_right(points, end, key=lambda point: point[0])]
        for key, points in history.items()
    }
    return {key: points for key, points in cut.items() if points}
