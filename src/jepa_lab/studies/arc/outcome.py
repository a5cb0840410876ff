"""The figure that only a run of the ARC JEPA has: examples of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER
from jepa_lab.studies.arc.data.batch import DEMO_INPUT, DEMO_OUTPUT, QUERY
from jepa_lab.studies.arc.data.examples import ABSENT, Examples

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


def example_rows(examples: Examples, shown: int = SHOWN) -> list[list[tuple[str, Tensor | None]]]:
    """Returns (name, grid) pairs of each of the first `shown` tasks: the grids of its first
    context, None for an absent one, then the target."""
    tasks = examples.task.tolist()
    rows = [i for i, task in enumerate(tasks) if i == 0 or task != tasks[i - 1]][:shown]
    return [
        [
            *(
                (name_of_place(examples, place), _grid(examples, number))
                for place, number in enumerate(examples.context[row].tolist())
            ),
            ("target", _grid(examples, int(examples.target[row]))),
        ]
        for row in rows
    ]


def _grid(examples: Examples, number: int) -> Tensor | None:
    return None if number == ABSENT else torch.from_numpy(np.array(examples.grids[number]))


def examples_figure(rows: Sequence[Sequence[tuple[str, Tensor | None]]]) -> Figure:
    """Draws one row of grids for each task."""
    columns = len(rows[0])
    figure = Figure(
        figsize=(1.35 * columns, 1.55 * len(rows)), dpi=DPI, facecolor=PAPER, layout="constrained"
    )
    FigureCanvasAgg(figure)
    cells = figure.subplots(len(rows), columns, squeeze=False)
    for row, line in zip(cells, rows, strict=True):
        for ax, (name, grid) in zip(row, line, strict=True):
            draw_grid(ax, None if grid is None else grid.numpy(), name)
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
