"""The output at the end of a run of the ARC JEPA: examples, figures, report page, table and
verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from jepa_lab.diagnosis import Examination, Verdict
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.ledger.parquet import History
from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER, write_figure
from jepa_lab.report.outcome import expected_texts, present
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, QUERY
from jepa_lab.studies.arc.data.examples import ABSENT, Examples
from jepa_lab.training.study import Fit, Session

# the colours of the ARC browser, 0 to 9
COLORS = (
    "#000000",
    "#0074D9",
    "#FF4136",
    "#2ECC40",
    "#FFDC00",
    "#AAAAAA",
    "#F012BE",
    "#FF851B",
    "#7FDBFF",
    "#870C25",
)
NAMES = {DEMO_INPUT: "input {}", DEMO_OUTPUT: "output {}", QUERY: "query"}
SHOWN = 4  # number of examples shown, each of another task


def show_outcome(
    session: Session,
    fit: Fit,
    verdict: Verdict,
    examine: Callable[[History], Examination],
    remedies: Remedies,
) -> None:
    """Draws the figures, writes report.html, and prints the table, the verdict and the paths."""
    config, run = session.config, session.run
    examples = session.parts.loaders["val"].examples
    write_figure(lambda: examples_figure(examples), run.figures / "examples.png")
    expected = expected_texts(config.expected, config.dataset.name, config.tier.name)
    present(run, config, fit.history, verdict, fit.gates, expected, examine, remedies)


def examples_figure(examples: Examples, shown: int = SHOWN) -> Figure:
    """Draws one row for each of the first `shown` tasks: the grids of its first context, then the
    target."""
    tasks = examples.task.tolist()
    rows = [i for i, task in enumerate(tasks) if i == 0 or task != tasks[i - 1]][:shown]
    columns = len(examples.roles) + 1
    figure = Figure(
        figsize=(1.35 * columns, 1.55 * len(rows)), dpi=DPI, facecolor=PAPER, layout="constrained"
    )
    FigureCanvasAgg(figure)
    cells = figure.subplots(len(rows), columns, squeeze=False)
    for row, example in enumerate(rows):
        numbers = examples.context[example].tolist()
        for place, number in enumerate(numbers):
            grid = None if number == ABSENT else examples.grids[number]
            draw_grid(cells[row, place], grid, name_of_place(examples, place))
        draw_grid(cells[row, -1], examples.grids[int(examples.target[example])], "target")
    return figure


def name_of_place(examples: Examples, place: int) -> str:
    """Returns the label of a place of the context, such as 'input 1', 'query' or 'frame 2'."""
    return NAMES.get(int(examples.roles[place]), "frame {}").format(int(examples.pairs[place]) + 1)


def draw_grid(ax: Any, grid: np.ndarray | None, name: str) -> None:
    """Draws a grid in the colours of the ARC browser with its name below; nothing for None."""
    ax.set_xticks([])
    ax.set_yticks([])
    if grid is None:
        ax.axis("off")
        return
    ax.imshow(grid, cmap=ListedColormap(COLORS), vmin=0, vmax=9, interpolation="nearest")
    if max(grid.shape) <= 20:
        for axis, size in ((ax.axvline, grid.shape[1]), (ax.axhline, grid.shape[0])):
            for line in range(1, size):
                axis(line - 0.5, color="#555555", linewidth=0.4)
    for spine in ax.spines.values():
        spine.set_color(axes.RULE)
    ax.set_xlabel(name, fontsize=8, color=axes.INK, labelpad=3)
