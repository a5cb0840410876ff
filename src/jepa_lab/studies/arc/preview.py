"""A figure of ARC examples as the model sees them: without augmentation, and in the first two
epochs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.examples import ABSENT
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.data.synthetic.synthetic import synthetic_tasks
from jepa_lab.studies.arc.data.task import Grid
from jepa_lab.studies.arc.outcome import draw_grid, name_of_place
from jepa_lab.studies.arc.parts import build_loaders, build_tokeniser
from jepa_lab.studies.arc.resume import PLANNER

EPOCHS = (None, 0, 1)  # None: without augmentation
NAMES = {None: "as it is", 0: "epoch 1", 1: "epoch 2"}
TITLE = 110  # letters of a rule that fit in a title


def arc_preview(config: ArcConfig, rows: int) -> Figure:
    """Draws one training example of each of the first `rows` tasks.

    An example has three lines of grids, one per entry of EPOCHS: the context, then the target. The
    title of a generated task includes its rule. Raises UserError for data that cannot be used.
    """
    tasks = PLANNER.load(config)
    plain = replace(config, dataset=replace(config.dataset, cache=None))
    loader = build_loaders(plain, tasks, build_tokeniser(config.dataset))["train"]
    rules = _rules(config)
    numbers = loader.examples.task.tolist()
    chosen = [i for i, number in enumerate(numbers) if i == 0 or number != numbers[i - 1]][:rows]
    columns = len(loader.examples.roles) + 1
    figure = Figure(
        figsize=(1.35 * columns + 0.3, 4.4 * len(chosen)),
        dpi=DPI,
        facecolor=PAPER,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(chosen), 1, squeeze=False)[:, 0]
    for part, example in zip(parts, chosen, strict=True):
        task = tasks.train[numbers[example]].task_id
        rule = rules.get(task, "")
        shown = rule if len(rule) <= TITLE else f"{rule[:TITLE]} ..."
        part.suptitle(f"{task}: {shown}" if rule else task, fontsize=10, color=axes.INK)
        cells = part.subplots(len(EPOCHS), columns, squeeze=False)
        for line, epoch in enumerate(EPOCHS):
            for place, grid in enumerate(grids_of(loader, example, epoch)):
                name = "target" if place == columns - 1 else name_of_place(loader.examples, place)
                draw_grid(
                    cells[line, place],
                    grid,
                    f"{name}\n{NAMES[epoch]}" if place == columns - 1 else name,
                )
    return figure


def grids_of(loader: ArcLoader, example: int, epoch: int | None) -> list[Grid | None]:
    """Returns the context grids of a training example (None for absent ones) and its target.

    Grids are augmented as in that epoch. With epoch None they are those of the task itself.
    """
    examples, index = loader.examples, torch.tensor([example])
    context = examples.context[index]
    if epoch is not None:
        context = examples.drawn_context(index, seed=loader.seed, split=loader.split, epoch=epoch)
    wanted = [*context[0].tolist(), int(examples.target[example])]
    numbers = sorted({number for number in wanted if number != ABSENT})
    if epoch is None:
        grids = [examples.grids[number] for number in numbers]
    else:
        grids = loader.grids_at(torch.tensor(numbers), epoch)
    return [None if number == ABSENT else grids[numbers.index(number)] for number in wanted]


def _rules(config: ArcConfig) -> dict[str, str]:
    d = config.dataset
    if d.synthetic is None:
        return {}
    limits = {"n_train": d.train_tasks, "n_val": d.val_tasks, "n_test": d.test_tasks}
    options: dict[str, Any] = {
        **{key: n for key, n in limits.items() if n is not None},
        **asdict(d.synthetic),
    }
    made = synthetic_tasks(**options)
    return {task: str(rule) for task, rule in made.rules.items()}
