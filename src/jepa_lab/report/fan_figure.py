"""The figure of an investigation: the curves of all trials, which fan out where they begin."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jepa_lab.ledger.parquet import History
from jepa_lab.report import axes, panels
from jepa_lab.report.figures import DPI, PAPER

HistoryOf = Callable[[Path], History]  # of a run's folder: {metric: (step, value) pairs}
SIX = len(panels.CYCLE)
DASHES = ("-", "--", "-.")  # for more changes than colours
UNCHANGED = ("#A0A0A0", "-")


def fan_figure(content: Mapping[str, Any], history_of: HistoryOf) -> Figure:
    """Draws the curves named in `content` of every trial over the steps, one column for each start.
    The run itself is black, unchanged runs are grey."""
    starts = sorted({trial["start"] for trial in content["trials"]}, reverse=True) or [0]
    keys = content["curves"]
    figure = Figure(
        figsize=(4.6 * len(starts), 6.2), dpi=DPI, facecolor=PAPER, layout="constrained"
    )
    FigureCanvasAgg(figure)
    cells = figure.subplots(len(keys), len(starts), squeeze=False)
    own = history_of(Path(content["run"]))
    names = list(dict.fromkeys(t["change"] for t in content["trials"] if t["overrides"]))
    styles = {n: (panels.CYCLE[i % SIX], DASHES[i // SIX % 3]) for i, n in enumerate(names)}
    seen: dict[str, Any] = {}
    for column, start in enumerate(starts):
        for row, key in enumerate(keys):
            ax = cells[row, column]
            for trial in content["trials"]:
                for run in trial["runs"] if trial["start"] == start else []:
                    style = styles.get(trial["change"], UNCHANGED)
                    line = _draw(ax, history_of(Path(run)).get(key, []), *style)
                    seen.setdefault(trial["change"], line)
            seen["the run"] = _draw(ax, own.get(key, []), "black", "-", width=2.0)
            ax.axvline(content["onset"], color="#B03A00", linewidth=1, linestyle=":")
            if _spans_decades(ax):
                ax.set_yscale("log")
            axes.style_axes(ax, key.removeprefix("val/").replace("/", " "))
            if row == 0:
                title = f"branches from step {start}" if start else "from the start"
                ax.set_title(title, fontsize=10, color=axes.INK, loc="left")
            else:
                ax.set_xlabel("step (dotted: onset)", fontsize=8.5, color=axes.INK)
    figure.legend(
        seen.values(),
        seen.keys(),
        loc="outside lower center",
        ncols=2 * len(starts),
        fontsize=8,
        frameon=False,
    )
    return figure


def _spans_decades(ax: Any) -> bool:
    """Whether all values are positive and the largest is over a thousand times the smallest."""
    values = [v for line in ax.lines[:-1] for v in line.get_ydata() if math.isfinite(v)]
    return bool(values) and min(values) > 0 and max(values) > 1e3 * min(values)


def _draw(ax: Any, points: Sequence[Any], colour: str, dashes: str, width: float = 1.0) -> Any:
    steps, values = [step for step, _ in points], [value for _, value in points]
    return ax.plot(steps, values, color=colour, linestyle=dashes, linewidth=width)[0]


def encoded(figure: Figure) -> str:
    """Returns the figure as PNG in base64."""
    png = io.BytesIO()
    figure.savefig(png, format="png", facecolor=PAPER)
    return base64.b64encode(png.getvalue()).decode()
