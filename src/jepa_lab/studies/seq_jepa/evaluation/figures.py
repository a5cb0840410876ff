"""Figures of the frozen evaluation: accuracy by number of views, R² of every question, a map of z
and z_agg, loss of a rollout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.manifold import TSNE
from torch import Tensor

from jepa_lab.data.labels import listed
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.report import axes
from jepa_lab.report.figures import DPI, PAPER, save
from jepa_lab.report.panels import CYCLE, GREY
from jepa_lab.studies.seq_jepa.evaluation.features import Features
from jepa_lab.studies.seq_jepa.evaluation.frozen import DIVERGED, Evaluation
from jepa_lab.studies.seq_jepa.evaluation.rollout import Rollout

POINTS = 600  # number of points in the map
MOST_NAMED = 20  # classes whose names fit beside the map
STYLES = {"linear": "-", "knn": (0, (4, 2))}


def draw_evaluation(found: Evaluation, folder: Path) -> Path:
    """Writes evaluation.png: a panel of accuracies (with labels) and a panel of R². Both are empty
    if no network could be evaluated."""
    classes = [f for f in found.figures if f.question == "class from z_agg"]
    actions = [
        f for f in found.figures if f.readout == "mlp" and not f.detail and "gap" not in f.question
    ]
    rows = list(dict.fromkeys(f.row for f in found.figures))
    panels = [
        draw for draw, figures in ((_draw_classes, classes), (_draw_actions, actions)) if figures
    ]
    figure = _figure(6.0 * max(len(panels), 1), 4.6)
    if not panels:
        axes.draw_word(figure.add_subplot(), DIVERGED)
    for place, draw in enumerate(panels):
        draw(
            figure.add_subplot(1, len(panels), place + 1),
            classes if draw is _draw_classes else actions,
            rows,
        )
    return save(figure, folder / "evaluation.png")


def draw_map(
    features: Features, group: ViewGroup, folder: Path, class_names: Sequence[str] = ()
) -> Path:
    """Writes feature_map.png: t-SNE of z (a random view of each image) and of z_agg, coloured by
    class and by action. Up to 20 classes are named beside the colours."""
    n = min(POINTS, len(features.z))
    view = torch.arange(n) % features.z.shape[1]
    spread = features.z[torch.arange(n), view]
    m = features.trained_on
    agg = features.z_agg[m][:n]
    name, part = next(iter(group.action_slices.items()))
    of_view, of_last = features.absolute[torch.arange(n), view], features.absolute[:n, m - 1]
    figure = _figure(9.6, 8.6 if features.labels is not None else 4.6)
    rows = 2 if features.labels is not None else 1
    for row, (title, points, action) in enumerate(
        (("z", embed(spread), of_view), ("z_agg", embed(agg), of_last))
    ):
        place = 1 + (row if rows == 1 else 2 * row)
        if features.labels is not None:
            ax = figure.add_subplot(rows, 2, place)
            palette = "tab10" if len(class_names) <= 10 else "tab20"
            classes = features.labels[:n].numpy()
            _scatter(figure, ax, points, classes, f"{title}, by class", palette, class_names)
            place += 1
        value, label, colours = _scalar(action[:, part], name)
        _scatter(
            figure,
            figure.add_subplot(rows, 2, place),
            points,
            value,
            f"{title}, by {label}",
            colours,
        )
    return save(figure, folder / "feature_map.png")


def embed(z: Tensor) -> np.ndarray:
    """Returns t-SNE coordinates (n, 2) of features (n, d), from a PCA start. They are
    reproducible. They are NaN if a feature is not finite."""
    x = z.double().numpy()
    if not np.isfinite(x).all():
        return np.full((len(x), 2), np.nan)
    x = (x - x.mean(0)) / max(float(x.std()), 1e-12)
    perplexity = min(30.0, max(2.0, (len(x) - 1) / 3))
    method = "barnes_hut" if len(x) > 50 else "exact"
    # Noise separates equal features, which would have no distinct neighbours.
    noise = np.random.default_rng(0).normal(scale=1e-4, size=x.shape)
    return np.asarray(
        TSNE(perplexity=perplexity, init="pca", random_state=0, method=method).fit_transform(
            x + noise
        )
    )


def _draw_classes(ax: Any, figures: list[Any], rows: list[str]) -> None:
    for row, color in zip(rows, CYCLE, strict=False):
        for readout, style in STYLES.items():
            points = [
                f for f in figures if f.row == row and f.readout == readout and f.views is not None
            ]
            if points:
                x, y = [f.views for f in points], np.array([f.estimate.value for f in points])
                label = f"{row}, {readout}"
                ax.plot(
                    x,
                    y,
                    linestyle=style,
                    color=color,
                    marker="o",
                    markersize=4,
                    linewidth=1.6,
                    label=label,
                )
                low, high = ([getattr(f.estimate, end) for f in points] for end in ("low", "high"))
                ax.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
    ax.set_xticks(sorted({f.views for f in figures if f.views is not None}))
    ax.set_xlabel("observed views", fontsize=8.5, color=axes.INK)
    axes.style_axes(ax, "accuracy from z_agg on test")
    _head(ax, "Classes from the aggregate")


def _draw_actions(ax: Any, figures: list[Any], rows: list[str]) -> None:
    questions = list(dict.fromkeys(f.question for f in figures))
    height = 0.8 / len(rows)
    for at, (row, color) in enumerate(zip(rows, CYCLE, strict=False)):
        for place, question in enumerate(questions):
            found = [f.estimate for f in figures if f.row == row and f.question == question]
            for e in found:
                y = place + (at - (len(rows) - 1) / 2) * height
                error = [[max(e.value - e.low, 0)], [max(e.high - e.value, 0)]]
                shown = {"label": row} if place == 0 else {}
                ax.barh(
                    y,
                    e.value,
                    height * 0.9,
                    color=color,
                    xerr=error,
                    ecolor=axes.INK,
                    error_kw={"lw": 0.8},
                    **shown,
                )
    ax.set_yticks(range(len(questions)), questions)
    ax.invert_yaxis()
    ax.set_xlim(min(0.0, max(-0.25, ax.get_xlim()[0])), 1.02)
    axes.style_axes(ax, "")
    ax.set_xlabel("R² of an MLP on test  (1 is perfect)", fontsize=8.5, color=axes.INK)
    _head(ax, "Actions and views")


def _head(ax: Any, title: str) -> None:
    labels = ax.get_legend_handles_labels()[1]
    axes.head(ax, title, rows=-(-len(labels) // axes.legend_columns(labels, 60)), width=60)


def _scatter(
    figure: Figure,
    ax: Any,
    points: np.ndarray,
    value: np.ndarray,
    title: str,
    colours: str,
    names: Sequence[str] = (),
) -> None:
    """Draws points (n, 2) in the colours of `value` (n,). `names` are those of the values 0, 1,
    ..., which then have a colour each. Points that are not finite are replaced by a word."""
    if not np.isfinite(points).all():
        ax.set_title(title, fontsize=10, color=axes.INK, loc="left")
        axes.draw_word(ax, DIVERGED)
        return
    ends: tuple[float | None, float | None] = (None, None)
    if colours.startswith("twilight"):
        ends = (-180, 180)
    cmap: Any = colours
    if 0 < len(names) <= MOST_NAMED:
        cmap, ends = colormaps[colours].resampled(len(names)), (-0.5, len(names) - 0.5)
    dots = ax.scatter(
        points[:, 0],
        points[:, 1],
        c=value,
        cmap=cmap,
        s=9,
        linewidths=0,
        vmin=ends[0],
        vmax=ends[1],
    )
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(axes.RULE)
    ax.set_title(title, fontsize=10, color=axes.INK, loc="left")
    bar = figure.colorbar(dots, ax=ax, fraction=0.046, pad=0.02)
    if 0 < len(names) <= MOST_NAMED:
        shown = [listed([name]) for name in names]
        bar.set_ticks(range(len(names)), labels=shown, fontsize=8, parse_math=False)


def _scalar(action: Tensor, name: str) -> tuple[np.ndarray, str, str]:
    """Returns (one number per action that sets the colour, its label, its colour map). It is the
    angle for a sine and cosine or a one-hot rotation, else the first number."""
    if name == "rot" and action.shape[1] == 2:
        return (
            torch.atan2(action[:, 0], action[:, 1]).rad2deg().numpy(),
            "angle, degrees",
            "twilight_shifted",
        )
    if name == "rot" and action.shape[1] == 4:
        return (
            ((90 * action.argmax(1) + 90) % 360 - 90).numpy(),
            "angle, degrees",
            "twilight_shifted",
        )
    return action[:, 0].numpy(), name, "viridis"


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (  # (kind, name, style)
    ("rollout", "rollout: predictions fed back", {"color": CYCLE[0], "linewidth": 2.0}),
    (
        "teacher_forced",
        "one step from the true views",
        {"color": CYCLE[1], "linewidth": 1.5, "linestyle": (0, (4, 2))},
    ),
    ("copy", "copy of the last observed view", {"color": CYCLE[2], "linewidth": 1.5}),
)


def draw_rollout(found: Rollout, folder: Path) -> Path:
    """Writes rollout.png."""
    figure = Figure(figsize=(6.4, 4.2), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    steps = [step.k for step in found.steps]
    for kind, name, style in LINES:
        ax.plot(
            steps,
            [getattr(s, kind) for s in found.steps],
            marker="o",
            markersize=4,
            label=name,
            **style,
        )
    low, high = [s.low for s in found.steps], [s.high for s in found.steps]
    ax.fill_between(steps, low, high, color=CYCLE[0], alpha=0.15, linewidth=0)
    ax.axhline(1.0, color=GREY, linewidth=1.2, linestyle=":", label="best constant")
    axes.style_axes(ax, "prediction loss / loss of the best constant")
    ax.set_ylim(0.0, max(1.05, ax.get_ylim()[1]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(
        f"views ahead of the {found.observed} observed ones", fontsize=8.5, color=axes.INK
    )
    axes.head(ax, f"Latent rollout, {found.images} test images", rows=2, width=70)
    return save(figure, folder / "rollout.png")
