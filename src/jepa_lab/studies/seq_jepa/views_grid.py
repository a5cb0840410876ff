"""The grid of views: accuracy by the number of views in training and in evaluation, with and
without actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jepa_lab.config.trust import Trust
from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import write_json
from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER, save
from jepa_lab.studies.seq_jepa.evaluation.features import collect
from jepa_lab.studies.seq_jepa.evaluation.loading import load_run, views_of
from jepa_lab.studies.seq_jepa.evaluation.readouts import linear_classifier, mlp_regression

LOOKED_AT = (1, 2, 4, 8)
LIMIT = 5000
Cell = tuple[bool, int]  # (the model gets its actions, observed views in training)


def views_grid(runs: Sequence[Path], folder: Path) -> str:
    """Evaluates the runs, writes views_grid.json and views_grid.png into `folder` and returns a
    text table. The accuracy is that of a linear classifier on frozen z_agg of 1, 2, 4 and 8 views,
    on test, as a mean over seeds. The table also has the R² of the relative action from a pair of
    z. Runs that cannot be opened are listed."""
    accuracies: dict[Cell, dict[int, list[float]]] = {}
    actions: dict[Cell, list[float]] = {}
    skipped: list[str] = []
    for path in runs:
        try:
            cell, accuracy, r2 = _evaluate(path)
        except UserError as error:
            skipped.append(str(error))
            continue
        for m, value in accuracy.items():
            accuracies.setdefault(cell, {}).setdefault(m, []).append(value)
        actions.setdefault(cell, []).append(r2)
    if not accuracies:
        return "\n".join(["no run for the grid of views", *skipped])
    means = {
        cell: {m: float(np.mean(v)) for m, v in row.items()} for cell, row in accuracies.items()
    }
    rows = [
        {
            "action_conditioning": cell[0],
            "trained_on": cell[1],
            "accuracy": means[cell],
            "seeds": len(actions[cell]),
            "relative_action_r2": float(np.mean(actions[cell])),
        }
        for cell in sorted(means)
    ]
    write_json(folder / "views_grid.json", {"rows": rows, "skipped": skipped})
    save(grid_figure(means), folder / "views_grid.png")
    head = (
        "grid of views: accuracy of a linear classifier on frozen z_agg (test), R² of the relative"
        " action from z"
    )
    lines = [
        f"{'actions':<9}{'trained on':<12}"
        + "".join(f"{f'at {m}':>8}" for m in LOOKED_AT)
        + "      R²  seeds"
    ]
    for cell in sorted(means, reverse=True):
        cells = "".join(f"{means[cell][m]:>8.3f}" for m in LOOKED_AT)
        known = "known" if cell[0] else "hidden"
        lines.append(
            f"{known:<9}{cell[1]:<12}{cells}{np.mean(actions[cell]):>8.3f}  {len(actions[cell])}"
        )
    return "\n".join([head, *lines, *skipped, f"figure: {folder / 'views_grid.png'}"])


def grid_figure(means: dict[Cell, dict[int, float]]) -> Figure:
    """Draws a heat map for models with actions and another for models without, on the same
    scale."""
    kinds = sorted({known for known, _ in means}, reverse=True)
    values = [100 * v for row in means.values() for v in row.values()]
    figure = Figure(
        figsize=(4.4 * len(kinds) + 0.6, 3.9), dpi=DPI, facecolor=PAPER, layout="constrained"
    )
    FigureCanvasAgg(figure)
    for place, known in enumerate(kinds):
        trained = sorted(m for k, m in means if k is known)
        grid = 100 * np.array([[means[known, m][looked] for m in trained] for looked in LOOKED_AT])
        ax = figure.add_subplot(1, len(kinds), place + 1)
        image = ax.imshow(
            grid, cmap="cividis", vmin=min(values), vmax=max(values), origin="lower", aspect="auto"
        )
        middle = (min(values) + max(values)) / 2
        for i, row in enumerate(grid):
            for j, value in enumerate(row):
                ink = "w" if value < middle else "k"
                ax.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=9, color=ink)
        ax.set_xticks(range(len(trained)), [str(m) for m in trained])
        ax.set_yticks(range(len(LOOKED_AT)), [str(m) for m in LOOKED_AT])
        ax.set_xlabel("observed views in training", fontsize=8.5, color=axes.INK)
        ax.set_ylabel("views that z_agg is made of", fontsize=8.5, color=axes.INK)
        ax.set_title(
            f"Actions {'known' if known else 'hidden'}: accuracy, %",
            fontsize=10,
            color=axes.INK,
            loc="left",
        )
    figure.colorbar(image, ax=figure.axes, fraction=0.046, pad=0.02)
    return figure


def _evaluate(path: Path) -> tuple[Cell, dict[int, float], float]:
    run = load_run(path, trust=Trust(loaded=True))
    trained_on = run.config.dataset.n_views - 1
    group = views_of(run.config, run.splits, max(*LOOKED_AT, trained_on) + 1)
    features = {
        split: collect(
            run.network,
            group,
            getattr(run.splits, split),
            split=split,
            seed=run.config.seed,
            views=LOOKED_AT,
            trained_on=trained_on,
            first_view=run.config.dataset.eval_first_view,
            limit=LIMIT,
        )
        for split in ("train", "val", "test")
    }
    train, val, test = features["train"], features["val"], features["test"]
    if train.labels is None or val.labels is None or test.labels is None:
        raise UserError(f"{path}: the images have no labels")
    labels = [f.labels.numpy() for f in (train, val, test) if f.labels is not None]
    accuracy = {}
    for m in LOOKED_AT:
        x = [f.z_agg[m].numpy() for f in (train, val, test)]
        accuracy[m] = float(
            (linear_classifier(x[0], labels[0], x[1], labels[1], x[2]) == labels[2]).mean()
        )
    x = [f.z[:, 1:3].flatten(1).numpy() for f in (train, val, test)]
    y = [f.actions[:, 1].numpy().astype(np.float64) for f in (train, val, test)]
    predicted = mlp_regression(x[0], y[0], x[1], y[1], x[2])
    spread = ((y[2] - y[2].mean(0)) ** 2).sum(0)
    r2 = 1 - ((predicted - y[2]) ** 2).sum(0)[spread > 0] / spread[spread > 0]
    return (bool(run.config.model.action_conditioning), trained_on), accuracy, float(r2.mean())
