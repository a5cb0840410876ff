"""The charts of the toy's page: the curves of a run beside the theory, or the last values of a grid
over its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import pyarrow as pa

from jepa_lab.diagnosis.finding import Finding
from jepa_lab.report.page_charts import Json, chart, short, thinned
from jepa_lab.report.panels import GREY, Level, Panel, Series
from jepa_lab.studies.linear_byol.figures.dynamics import LEAST_R2, PANELS, numeric_columns

ABOUT = {
    "Loss": "The loss of a batch, of infinitely many samples, and the least that any predictor of"
    " these encoders has.",
    "Predictor: distance to P*": "How far the predictor is from the best one for these encoders,"
    " as it stands and after the best rotations.",
    "Encoder: distance to A⁺": "How far the encoder is from the inverse of the data's map, up to"
    " a rotation.",
    "Read-out of the latent": "How well the latents of the data can be read out of the encoding: 1"
    " is perfect.",
    "Tracking gap": "The distance between the online and the target encoder.",
    "Effective ranks": "The number of directions that the encoding and its prediction use.",
    "Curvature": "The largest curvature of the loss in the predictor.",
    "Step times curvature": "A step of the predictor is stable below the dashed line.",
}
OUTCOMES = {  # metric of a grid: title, caption
    "excess_loss": ("Loss above its least value", "0 is a perfect predictor of these encoders."),
    "W_Fro_aligned": ("Predictor: distance to P*", "After the best rotations; 0 is the optimum."),
    "BA_err_aligned": ("Encoder: distance to A⁺", "Up to a rotation; 0 is the optimum."),
    "readout_r2": ("Read-out of the latents, R²", "1 is perfect."),
    "erank_encoded": ("Effective rank of z", "The number of directions that the encoding uses."),
}
AXES = {  # setting of a grid: name
    "lr_pred_setting": "lr_pred",
    "tau": "tau",
    "lr_enc_setting": "lr_enc",
    "batch_size": "batch size",
    "lr_enc_mode": "mode",
}
Member = tuple[Mapping[str, Any], Mapping[str, Any]]  # settings, metrics of the summary


def toy_charts(
    table: pa.Table, theory: pa.Table | None, limits: Mapping[str, float], events: Sequence[Finding]
) -> dict[str, list[Json]]:
    """Returns the charts of one run. `theory` is the table of the same run with an infinite
    batch."""
    columns = numeric_columns(table)
    known = {} if theory is None else numeric_columns(theory)
    charts = []
    for title, unit, named, positive in PANELS:
        series = [
            Series(label, points, colour, key=f"val/{column}")
            for column, (label, colour) in named.items()
            if (points := _points(columns, column, positive))
        ]
        if not series:
            continue
        levels = []
        if title == "Step times curvature":
            bound = columns["d_latent"][0] * (1 + columns["mom_pred"][0])
            levels = [Level("stable below", float(bound), GREY)]
        panel = Panel(title, unit, series, levels=levels)
        made = chart(panel, ABOUT[title], limits, events) | {"log_steps": True}
        if not positive:
            made = made | {"may_log": False, "floor": LEAST_R2}
        charts.append(_with_theory(made, known, named, positive))
    return {"Over the steps": charts} if charts else {}


def _points(columns: Mapping[str, Any], name: str, positive: bool) -> list[tuple[int, float]]:
    """Returns the (step, value) pairs after step 0, which has no place on a log axis. Values that
    cannot be drawn are NaN. [] if none can."""
    if name not in columns:
        return []
    points = [
        (
            int(step),
            float(value) if math.isfinite(value) and (value > 0 or not positive) else math.nan,
        )
        for step, value in zip(columns["epoch"], columns[name], strict=True)
        if step > 0
    ]
    return points if any(math.isfinite(value) for _, value in points) else []


def _with_theory(
    made: Json, theory: Mapping[str, Any], named: Mapping[str, Any], positive: bool
) -> Json:
    """Adds the lines of the theory to a chart. Those of the batch's own loss, and of what the
    encoders allow, would repeat others."""
    for column, (label, _) in named.items():
        known = theory and column not in ("loss", "loss_star")
        points = thinned(_points(theory, column, positive)) if known else []
        if points:
            values = {"x": [s for s, _ in points], "y": [short(v) for _, v in points]}
            made["series"].append({"arm": len(made["lines"]), **values})
            name = f"{label}, theory"
            made["lines"].append({"name": name, "colour": 7, "control": True, "dash": "4 3"})
    if any(line["control"] for line in made["lines"]):
        made["notes"].append("dashed: theory, the same run with an infinite batch")
    return made


def grid_charts(members: Sequence[Member]) -> dict[str, list[Json]]:
    """Returns a chart for every metric of OUTCOMES: its median over the seeds at the last step,
    over the setting with the most values. A line is one choice of the other settings."""
    varied = [key for key in AXES if len({str(s.get(key)) for s, _ in members}) > 1]
    numeric = [key for key in varied if all(_number(s.get(key)) > 0 for s, _ in members)]
    if not numeric:
        return {}
    axis = max(numeric, key=lambda key: len({_number(s[key]) for s, _ in members}))
    others = [key for key in varied if key != axis and not _follows(key, axis, members)]
    charts = [
        found
        for metric in OUTCOMES
        if (found := _grid_chart(members, metric, axis, others)) is not None
    ]
    return {f"At the last step, over {AXES[axis]}": charts} if charts else {}


def _grid_chart(
    members: Sequence[Member], metric: str, axis: str, others: Sequence[str]
) -> Json | None:
    cells: dict[tuple[str, ...], dict[float, list[float]]] = {}
    for settings, metrics in members:
        value = (metrics.get(f"val/{metric}") or {}).get("last")
        if isinstance(value, int | float) and math.isfinite(value):
            line = tuple(f"{AXES[key]} {_short(settings.get(key))}" for key in others)
            cells.setdefault(line, {}).setdefault(_number(settings[axis]), []).append(float(value))
    if not cells:
        return None
    lines, series = [], []
    for number, (line, values) in enumerate(cells.items()):
        at = sorted(values)
        lines.append({"name": ", ".join(line) or "all runs", "colour": number, "control": False})
        series.append(
            {
                "arm": number,
                "x": [short(x) for x in at],
                "y": [short(median(values[x])) for x in at],
                "lo": [short(min(values[x])) for x in at],
                "hi": [short(max(values[x])) for x in at],
            }
        )
    title, about = OUTCOMES[metric]
    return {
        "key": metric,
        "title": title,
        "about": about,
        "heading": "h4",
        "lines": lines,
        "series": series,
        "bounds": [],
        "notes": ["median over the seeds; band: lowest to highest"],
        "x": AXES[axis],
        "log_steps": True,
        "may_log": True,
    }


def _follows(key: str, axis: str, members: Sequence[Member]) -> bool:
    """Returns whether a setting has one value for each value of the axis."""
    pairs = {(str(settings.get(axis)), str(settings.get(key))) for settings, _ in members}
    return len(pairs) == len({value for value, _ in pairs})


def _number(value: Any) -> float:
    """Returns a setting as a number, NaN if it is none. YAML reads 1e-05 as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _short(value: Any) -> str:
    number = _number(value)
    return str(value) if math.isnan(number) else f"{number:.3g}"
