"""The style that the toy's figures share: headings, panels, axis labels, numbers and colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from jepa_lab.report import axes
from jepa_lab.report.figures import PAPER
from jepa_lab.studies.linear_byol.figures.cells import FLOOR, Cell, is_log
from jepa_lab.studies.linear_byol.figures.theory import Theory

DPI = 160
INFINITE = "infinite batch"
COLOURS = colormaps["cividis"]


@dataclass(frozen=True)
class Heading:
    """The description of a figure's runs. `rows` is the quantity on the vertical axis, alpha or c.
    `settings` lists momenta and similar settings."""

    mode: str
    batch_size: int
    epoch: int
    rows: str
    settings: str
    theory: Theory | None = None
    population: bool = False

    @property
    def batch(self) -> str:
        """The batch size as text. Runs with exact moments have none."""
        return INFINITE if self.population else f"batch {self.batch_size}"

    def lines(self, first: str, cells: Sequence[Cell]) -> str:
        """Returns the title: `first`, and below it the mode, batch size, step, seeds
        and settings."""
        low, high = (pick(cell.n_seeds for cell in cells) for pick in (min, max))
        seeds = f"{high} seed{'s' * (high > 1)}" if low == high else f"{low} to {high} seeds"
        rest = f"mode {self.mode}, {self.batch}, step {self.epoch}, {seeds}, {self.settings}"
        return f"{first}\n{rest}"


def settle(figure: Figure) -> Figure:
    """Computes the figure's layout once and fixes it. Otherwise savefig draws twice, first to find
    the layout."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        # "none" leaves a placeholder beside a colour bar, for which savefig draws twice as well
        figure.set_layout_engine(None)
    return figure


def short(value: float) -> str:
    """Formats a number with three digits, and with an exponent only if that is shorter: 0.213,
    2.1e-5."""
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def colour_value(mean: float, metric: str) -> float:
    """Returns the value that the colour shows: log10 of the mean, clipped below as in the published
    maps, or the mean of a linear metric."""
    return math.log10(max(mean, FLOOR)) if is_log(metric) and math.isfinite(mean) else mean


def facets(n: int, flat: bool = False) -> tuple[Figure, list[Any], int]:
    """Returns a figure with `n` panels (8 x 6 inches for one), its panels, and its number of
    columns. With `flat` the figure has a low panel and a higher one below it, in one column."""
    columns = n if n <= 3 else 2 if n == 4 else 3
    down = math.ceil(n / columns)
    size = (8.0, 6.0) if n == 1 else (5.0 * columns + 0.8, 4.3 * down + 1.2)
    figure = Figure(figsize=size, dpi=DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    if flat:
        return figure, list(figure.subplots(2, 1, height_ratios=[1, 2.6])), 1
    found = list(figure.subplots(down, columns, squeeze=False).flat)
    for spare in found[n:]:
        spare.remove()
    return figure, found[:n], columns


def colour_scale(means: Sequence[float], log: bool) -> ScalarMappable:
    shown = [math.log10(max(mean, FLOOR)) if log else mean for mean in means if math.isfinite(mean)]
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    room = 0.5 * (high - low < 1e-9)  # a single value needs a nonempty range
    return ScalarMappable(Normalize(low - room, high + room), COLOURS)


def colour_label(metric: str) -> str:
    return f"log10 of the mean {metric}" if is_log(metric) else f"mean {metric}"


def luminance(colour: Any) -> float:
    red, green, blue = colour[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def label_axes(ax: Any, taus: Sequence[float], rows: Sequence[float], heading: Heading) -> None:
    ax.set_xticks(range(len(taus)), [short(tau) for tau in taus], fontsize=8, color=axes.INK)
    ax.set_yticks(range(len(rows)), [short(row) for row in rows], fontsize=8, color=axes.INK)
    ax.set_xlabel("τ = 1 − m", fontsize=9, color=axes.INK)
    label = "c of the automatic α" if heading.rows == "c" else "α, predictor's learning rate"
    ax.set_ylabel(label, fontsize=9, color=axes.INK)
