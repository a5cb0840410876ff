"""The PNG figures of a run. A panel is left out if its keys were not logged."""

import io
import logging
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.report import axes, panels, tap_panels
from jepa_lab.report.panels import History, Panel
from jepa_lab.report.tap_panels import RANKS, TAPS, tap_color

DPI = 150
PANEL_SIZE = (4.3, 3.1)  # inches
PAPER = "#FFFFFF"


def draw_figures(
    history: History,
    folder: Path,
    *,
    title: str = "",
    verdict_line: str = "",
    spectra: Mapping[str, Sequence[float]] | None = None,
    views: np.ndarray | None = None,
    captions: Sequence[Sequence[str]] | None = None,
) -> dict[str, Path]:
    """Writes the figures that `history` has data for into `folder`.

    `spectra` and `views` are optional, see spectrum_figure and views_figure. Returns {name without
    suffix: path} of the written files."""
    figures: dict[str, Callable[[], Figure | None]] = {
        "overview": lambda: overview_figure(history, title=title, verdict_line=verdict_line),
        "loss": lambda: loss_figure(history),
        "probes": lambda: probes_figure(history),
        "ranks": lambda: ranks_figure(history),
        "spectrum": lambda: spectrum_figure(spectra) if spectra else None,
        "views": lambda: views_figure(views, captions) if views is not None else None,
    }
    paths = {name: write_figure(make, folder / f"{name}.png") for name, make in figures.items()}
    return {name: path for name, path in paths.items() if path is not None}


def write_figure(make: Callable[[], Figure | None], path: Path) -> Path | None:
    """Writes the figure that `make` returns as PNG, and returns its path. None without a figure.
    See `drawing` for a figure that cannot be drawn."""
    with drawing(path):
        figure = make()
        if figure is None:
            return None
        save(figure, path)
    return path


@contextmanager
def drawing(path: Path) -> Iterator[None]:
    """Writes a page with a word to `path` if the figures of the context cannot be drawn, so that
    the run that they belong to keeps its results. The error is logged with its traceback. Raises
    OSError if a file cannot be written."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        save(not_drawn(path, error), path)


def not_drawn(path: Path, error: Exception) -> Figure:
    """Logs that the figure at `path` cannot be drawn, and returns a page that says so."""
    logging.getLogger("jepa_lab").error("%s: cannot be drawn", path, exc_info=error)
    figure = Figure(figsize=PANEL_SIZE, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes.draw_word(figure.add_subplot(), f"{path.stem}: cannot be drawn")
    return figure


def save(figure: Figure, path: Path, dpi: int = DPI) -> Path:
    """Writes `figure` as PNG in one atomic step and returns the path."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, facecolor=PAPER)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, png.getvalue())
    return path


def loss_figure(history: History) -> Figure | None:
    """Returns panels of prediction loss, total loss if it differs, coding rate and other terms."""
    shown = [
        panels.prediction_panel,
        panels.total_panel,
        panels.rate_panel,
        panels.other_terms_panel,
    ]
    return _grid(_filled(history, shown), columns=2)


def probes_figure(history: History) -> Figure | None:
    """Returns panels of class accuracy, action R², retrieval, prediction skill, and the loss that
    wrong inputs add."""
    shown = [
        panels.class_panel,
        panels.action_panel,
        panels.retrieval_panel,
        panels.skill_panel,
        panels.gain_panel,
    ]
    return _grid(_filled(history, shown), columns=2)


def ranks_figure(history: History) -> Figure | None:
    """Returns panels of three ranks and the scale of every tap with their levels at
    initialisation, the share of the variance over views, and the codebook perplexity."""
    shown = [tap_panels.tap_panel(history, *rank) for rank in RANKS]
    shown += [tap_panels.within_panel(history)]
    shown += [tap_panels.tap_panel(history, "perplexity", "Codebook perplexity", "codes")]
    return _grid([panel for panel in shown if panel.series], columns=2)


def overview_figure(history: History, *, title: str = "", verdict_line: str = "") -> Figure | None:
    """Returns one page: title and verdict, then loss, rate, probes, skill, rank and scale."""
    learning = [panels.prediction_panel, panels.rate_panel, panels.class_panel, panels.action_panel]
    learning += [panels.retrieval_panel, panels.usage_panel]
    skill = _filled(history, [panels.skill_panel])
    collapse = [
        panel for index in (0, 3) if (panel := tap_panels.tap_panel(history, *RANKS[index])).series
    ]
    shown = _filled(history, learning)
    # Six panels fit on the page. The skill is left out first, since probes.png shows it too.
    shown += (skill if len(shown) + len(collapse) < 6 else []) + collapse
    figure = _grid(shown, columns=3)
    if figure is None or not (title or verdict_line):
        return figure
    width = int(figure.get_figwidth() * 12)
    lines = textwrap.wrap(verdict_line, width)
    band = 0.42 * bool(title) + 0.24 * len(lines) + 0.12  # inches
    height = figure.get_figheight() + band
    figure.set_figheight(height)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0, 1, 1 - band / height))
    top = 1 - 0.12 / height
    figure.text(0.012, top, title, fontsize=15, fontweight="bold", color=axes.INK, va="top")
    below = top - 0.36 * bool(title) / height
    figure.text(
        0.012, below, "\n".join(lines), fontsize=10.5, color=axes.INK, va="top", linespacing=1.4
    )
    return figure


def spectrum_figure(spectra: Mapping[str, Sequence[float]]) -> Figure | None:
    """Draws the sorted eigenvalues of every tap, divided by the largest, on a log axis.

    Spectra named `reference/<tap>` are drawn dashed. Returns None if no spectrum has variance."""
    figure = Figure(figsize=(6.4, 4.0), dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    taps = sorted({name.removeprefix("reference/") for name in spectra}, key=_tap_order)
    by_tap = [name for tap in taps for name in (tap, f"reference/{tap}") if name in spectra]
    drawn = [_draw_spectrum(ax, name, spectra[name], taps) for name in by_tap]
    if not any(drawn):
        return None
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-10))
    axes.style_axes(ax, "eigenvalue / largest eigenvalue")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_xlabel("direction, by falling variance", fontsize=8.5, color=axes.INK)
    ax.set_xlim(left=1)
    axes.head(ax, "Spectrum of the representation", rows=math.ceil(sum(drawn) / 3), width=75)
    return figure


def views_figure(
    views: np.ndarray, captions: Sequence[Sequence[str]] | None = None, rows: int = 6
) -> Figure:
    """Draws the first `rows` sequences of `views` (B, V, C, H, W) in [0, 1], one per row.

    `captions` holds for each sequence one text per view, or one per action (V - 1). The caption of
    an action is drawn under the view that the action leads to. Raises ValueError for other shapes.
    """
    views = np.asarray(views, dtype=np.float32)
    if views.ndim != 5:
        raise ValueError(f"views are (B, V, C, H, W), got shape {views.shape}")
    shown = views[:rows]
    count, length = shown.shape[:2]
    lines = max((1 + text.count("\n") for texts in captions or () for text in texts), default=1)
    figure = Figure(
        figsize=(1.1 * length, (1.2 + 0.15 * lines) * count + 0.1),
        dpi=DPI,
        facecolor=PAPER,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    cells = figure.subplots(count, length, squeeze=False)
    for row in range(count):
        texts = list(captions[row]) if captions is not None else []
        texts = [""] * (length - len(texts)) + texts
        for column in range(length):
            _draw_view(cells[row, column], shown[row, column], texts[column])
    return figure


def _filled(history: History, makers: Sequence[Callable[[History], Panel]]) -> list[Panel]:
    return [panel for make in makers if (panel := make(history)).series]


def _grid(shown: Sequence[Panel], columns: int) -> Figure | None:
    if not shown:
        return None
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    size = (PANEL_SIZE[0] * columns, PANEL_SIZE[1] * rows)
    figure = Figure(figsize=size, dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.04)
    last_step = max(step for panel in shown for series in panel.series for step, _ in series.points)
    for index, panel in enumerate(shown):
        row = shown[index - index % columns :][:columns]
        legend_rows = max(map(axes.legend_rows, row))
        axes.draw_panel(figure.add_subplot(rows, columns, index + 1), panel, last_step, legend_rows)
    return figure


def _tap_order(tap: str) -> tuple[int, str]:
    return (TAPS.index(tap) if tap in TAPS else len(TAPS), tap)


def _draw_spectrum(ax: Any, name: str, values: Sequence[float], taps: Sequence[str]) -> bool:
    eigenvalues = np.sort(np.asarray(values, dtype=np.float64).ravel())[::-1]
    if eigenvalues.size == 0 or not np.isfinite(eigenvalues).all() or eigenvalues[0] <= 0:
        return False
    share = np.where(eigenvalues > 0, eigenvalues / eigenvalues[0], np.nan)
    tap = name.removeprefix("reference/")
    reference = name != tap
    ax.plot(
        np.arange(1, share.size + 1),
        share,
        color=tap_color(tap, taps),
        linewidth=1.2 if reference else 1.8,
        linestyle=(0, (4, 3)) if reference else "-",
        marker=None if reference or share.size > 40 else "o",
        markersize=3,
        label=f"{tap} at start" if reference else tap,
    )
    return True


def _draw_view(ax: Any, view: np.ndarray, caption: str) -> None:
    image = view.transpose(1, 2, 0) if view.shape[0] == 3 else view[0]
    ax.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_color(axes.RULE)
    ax.set_xlabel(caption, fontsize=8, color=axes.INK, labelpad=3)
