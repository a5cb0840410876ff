"""What a run of the ARC JEPA leaves for its reader: table and verdict, figures, pictures of its examples, the page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from jepa_lab.config.arc import ArcConfig
from jepa_lab.data.arc.batch import DEMO_INPUT, DEMO_OUTPUT, QUERY
from jepa_lab.data.arc.examples import ABSENT, Examples
from jepa_lab.data.arc.loader import ArcLoader
from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult, gates_line
from jepa_lab.ledger import RunDir
from jepa_lab.ledger.parquet import History
from jepa_lab.report import axes
from jepa_lab.report.early_warning import draw_early_warning, first_violations
from jepa_lab.report.figures import DPI, PAPER, draw_figures, save
from jepa_lab.report.outcome import command_line
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import print_table, table_rows

# the colours of the ARC browser, 0 to 9
COLORS = ("#000000", "#0074D9", "#FF4136", "#2ECC40", "#FFDC00", "#AAAAAA", "#F012BE", "#FF851B", "#7FDBFF", "#870C25")
NAMES = {DEMO_INPUT: "input {}", DEMO_OUTPUT: "output {}", QUERY: "query"}
SHOWN = 4  # examples, of tasks that follow each other


def show_arc_outcome(
    run: RunDir, config: ArcConfig, history: History, verdict: Verdict, gates: list[GateResult], val: ArcLoader
) -> None:
    """Draws the figures, writes report.html, prints the table, the verdict and where everything is."""
    title = f"{config.name}, {config.dataset.name}, seed {config.seed}"
    draw_figures(history, run.figures, title=title, verdict_line=verdict.line())
    draw_early_warning(history, run.figures, title=title, find=lambda h: first_violations(h, asdict(config)))
    save(examples_figure(val.examples), run.figures / "examples.png")
    rows = table_rows(history, expected=expected_texts(config))
    page = write_run_page(
        run.path,
        title=title,
        verdict_line=verdict.line(),
        gates_line=gates_line(gates),
        table_rows=rows,
        command=command_line(),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
    )
    print_table(rows)
    print(f"\nverdict: {verdict.line()}\ngates:   {gates_line(gates)}")
    print(f"run:     {run.path}\nfigures: {run.figures}\npage:    {page}", flush=True)


def expected_texts(config: ArcConfig) -> dict[str, str]:
    """{key: text} of what this experiment is known to give with this dataset and tier."""
    known: Any = config.expected
    for name in (config.dataset.name, config.tier.name):
        known = known.get(name) or {}
    return {str(key): f"expected {text}" for key, text in known.items()}


def examples_figure(examples: Examples, shown: int = SHOWN) -> Figure:
    """One row for an example: the grids of its context, then the target."""
    tasks = examples.task.tolist()
    rows = [i for i, task in enumerate(tasks) if i == 0 or task != tasks[i - 1]][:shown]
    columns = len(examples.roles) + 1
    figure = Figure(figsize=(1.35 * columns, 1.55 * len(rows)), dpi=DPI, facecolor=PAPER, layout="constrained")
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
    """'input 1', 'query' or 'frame 2': what stands in a place of the context."""
    return NAMES.get(int(examples.roles[place]), "frame {}").format(int(examples.pairs[place]) + 1)


def draw_grid(ax: Any, grid: np.ndarray | None, name: str) -> None:
    """A grid in the colours of the ARC browser, its name below; nothing for None."""
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
