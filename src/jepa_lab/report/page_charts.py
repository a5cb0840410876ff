"""The charts of a run's page as plain numbers: the panels of its figures, with the limits of the
rules, the references, intervals, and the first violations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jepa_lab.diagnosis.finding import Finding, History, Points
from jepa_lab.diagnosis.text import described
from jepa_lab.report import panels
from jepa_lab.report.captions import caption
from jepa_lab.report.intervals import wilson
from jepa_lab.report.panels import Panel, Series
from jepa_lab.report.tap_panels import RANKS, tap_panel, within_panel

Json = dict[str, Any]
MOST = 160  # points of a curve
COLOURS = {  # number of the colour in style.css
    colour: number
    for number, colour in enumerate(
        (panels.BLUE, panels.VERMILION, panels.GREEN, panels.PURPLE, panels.ORANGE, panels.SKY)
    )
} | {panels.GREY: 7}
CLASS_PROBES = "val/probe/class_from_"


def run_charts(
    history: History,
    limits: Mapping[str, float],
    events: Sequence[Finding] = (),
    images: int | None = None,
) -> dict[str, list[Json]]:
    """Returns the charts by section, without sections and charts that have no data.

    `limits` maps a metric to its lowest healthy value. `images` is the number of validation images
    behind the accuracy of a class probe."""
    made = {
        name: [
            chart(panel, caption(panel), limits, events, images)
            for panel in (make(history) for make in makers)
            if panel.series
        ]
        for name, makers in SECTIONS.items()
    }
    return {name: found for name, found in made.items() if found}


def chart(
    panel: Panel,
    about: str,
    limits: Mapping[str, float],
    events: Sequence[Finding] = (),
    images: int | None = None,
) -> Json:
    """Returns one chart for lineChart of charts.js."""
    lines: list[Json] = []
    series: list[Json] = []
    for one in panel.series:
        series.append({"arm": len(lines), **_curve(one, images)})
        lines.append({"name": one.label, "colour": COLOURS[one.color], "control": False})
    for level in panel.levels:
        series.append({"arm": len(lines), "level": short(level.value)})
        name = f"{level.label} {level.value:.3g}"
        line = {"name": name, "colour": COLOURS[level.color], "control": False, "level": True}
        lines.append(line)
    return {
        "key": panel.title,
        "title": panel.title,
        "unit": "" if panel.unit in panel.title.lower() else panel.unit,
        "about": about,
        "heading": "h4",
        "lines": lines,
        "series": series,
        "bounds": _bounds(panel.series, limits),
        "marks": [_mark(n, event, panel.series) for n, event in enumerate(events, start=1)],
        "broken": _first_broken(panel.series),
        "notes": _notes(panel, series, images),
        **_axis(panel),
    }


def _curve(one: Series, images: int | None) -> Json:
    points = thinned(one.points)
    content: Json = {"x": [step for step, _ in points], "y": [short(v) for _, v in points]}
    if images and one.key.startswith(CLASS_PROBES):
        shares = [min(max(v / 100, 0.0), 1.0) for _, v in points]
        bounds = [wilson(share * images, images) for share in shares]
        content["lo"] = [short(100 * low) for low, _ in bounds]
        content["hi"] = [short(100 * high) for _, high in bounds]
    if one.reference is not None and math.isfinite(one.reference):
        content["start"] = short(one.reference)
    return content


def _bounds(series: Sequence[Series], limits: Mapping[str, float]) -> list[Json]:
    """Returns a bound for every limit, with the lines that it is a limit of."""
    by_value: dict[float, list[int]] = {}
    for number, one in enumerate(series):
        if one.key in limits:
            by_value.setdefault(limits[one.key], []).append(number)
    bounds = []
    for value, numbers in sorted(by_value.items()):
        names = ", ".join(_tap(series[n].key) for n in numbers) if len(series) > 1 else ""
        name = f"limit{f' of {names}' if names.strip(', ') else ''}: {value:.3g}"
        bounds.append({"y": short(value), "name": name, "arms": numbers})
    return bounds


def _tap(key: str) -> str:
    return key.split("/")[1] if key.count("/") == 2 else ""


def _mark(number: int, event: Finding, series: Sequence[Series]) -> Json:
    """Returns the mark of a first violation. It is the chart's own if a line shows the quantity."""
    place = f"/{event.tap}/" if event.tap else "/"
    own = bool(event.quantity) and any(
        one.key == event.quantity or (one.key.endswith(f"/{event.quantity}") and place in one.key)
        for one in series
    )
    return {"n": number, "x": event.began, "own": own, "text": described(event)}


def _notes(panel: Panel, series: Sequence[Json], images: int | None) -> list[str]:
    found = []
    if any("start" in one for one in series):
        found.append("dashed: before training")
    if any("lo" in one for one in series):
        found.append(f"bands: 95 % interval, n = {images:,} images")
    broken = _first_broken(panel.series)
    if broken is not None:
        found.append(f"dotted: NaN or inf, first at step {broken:,}")
    return found


def _axis(panel: Panel) -> Json:
    """Returns the options of the y axis. The one of accuracies, shares and ranks includes zero."""
    if panel.limits is None:
        return {"may_log": True}
    floor, ceiling = panel.limits
    ends = {"floor": floor, "ceiling": ceiling}
    return {"from_zero": True} | {name: v for name, v in ends.items() if math.isfinite(v)}


def _first_broken(series: Sequence[Series]) -> int | None:
    steps = [step for one in series for step, value in one.points if not math.isfinite(value)]
    return min(steps, default=None)


def thinned(points: Points, most: int = MOST) -> Points:
    """Returns at most about `most` points: the ends, and of every stretch between them the lowest
    and the highest, so that no spike is lost."""
    if len(points) <= most:
        return points
    stretch = math.ceil(2 * (len(points) - 2) / (most - 2))
    kept = {0, len(points) - 1}

    def value_of(place: int) -> float:
        value = points[place][1]
        return value if math.isfinite(value) else -math.inf  # a gap is kept as the lowest value

    for start in range(1, len(points) - 1, stretch):
        own = range(start, min(start + stretch, len(points) - 1))
        kept |= {min(own, key=value_of), max(own, key=value_of)}
    return [points[i] for i in sorted(kept)]


def short(value: Any, digits: int = 6) -> float | None:
    """Returns the value with a few significant digits, enough to draw; None if it is not finite."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def _of_taps(metric: str, title: str, unit: str) -> Callable[[History], Panel]:
    return lambda history: tap_panel(history, metric, title, unit)


SECTIONS: dict[str, tuple[Callable[[History], Panel], ...]] = {
    "Prediction and probes": (
        panels.prediction_panel,
        panels.skill_panel,
        panels.use_panel,
        panels.gain_panel,
        panels.retrieval_panel,
        panels.class_panel,
        panels.action_panel,
    ),
    "Representation": (*(_of_taps(*rank) for rank in RANKS), within_panel),
    "Codebook": (panels.usage_panel, _of_taps("perplexity", "Codebook perplexity", "codes")),
    "Terms of the loss": (panels.total_panel, panels.rate_panel, panels.other_terms_panel),
}
