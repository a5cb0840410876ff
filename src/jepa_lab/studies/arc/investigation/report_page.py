"""The report investigation.html: a self-contained page for light and dark mode and any screen
size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lab.diagnosis.finding import History
from jepa_lab.report.templates import render
from jepa_lab.studies.arc.investigation.charts import charts_of, shared_scales
from jepa_lab.studies.arc.investigation.overrides import brief
from jepa_lab.studies.arc.investigation.report_data import COLUMNS, order_of, shown
from jepa_lab.studies.arc.investigation.report_text import not_reached, recommendation, seeds, trail


def page(content: Mapping[str, Any], histories: Mapping[Path, History]) -> str:
    """Returns the report as HTML, with curves from the runs' histories. `content` is the result of
    `content_of`."""
    top, last = shared_scales(histories)
    return render(
        "investigation.html",
        "jepa_lab.studies.arc.investigation",
        title=f"Investigation of {content['experiment']}",
        tone=_tone(content),
        verdict=content["answer"],
        content=content,
        seeds=seeds(content),
        recommendation=recommendation(content) if content["recommended"] else "",
        heads=[name for name, _, _ in COLUMNS],
        steps=[
            {**step, "charts": charts_of(step, histories, top, last), **_texts(step)}
            for step in content["steps"]
        ],
        trail=trail(content),
        not_reached=not_reached(content) if content["not_reached"] else "",
    )


def _tone(content: Mapping[str, Any]) -> str:
    if content["scenario"] == "data":
        return "note"
    if content["found"]:
        return "good"
    return "note" if content["stopped"] or content["recommended"] else "bad"


def _texts(step: Mapping[str, Any]) -> dict[str, Any]:
    first = step["first"]
    return {
        "change": brief(step["overrides"]) or "the failing run",
        "cells": [shown(step["figures"].get(key), percent) for _, key, percent in COLUMNS],
        "fired": f"{first['flag']} at {first['step']}" if first else "",
        "order": order_of(step),
    }
