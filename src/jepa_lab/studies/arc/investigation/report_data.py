"""The results of an investigation as plain data: investigation.json, from which the two reports are
made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jepa_lab.studies.arc.investigation.questions import answers, paragraph
from jepa_lab.studies.arc.investigation.recommended import Recommended
from jepa_lab.studies.arc.investigation.repeats import Ran, Result
from jepa_lab.studies.arc.investigation.run_verdict import RunVerdict
from jepa_lab.studies.arc.investigation.state import Investigation
from jepa_lab.studies.arc.investigation.steps import (
    ALL_CORRECTIONS,
    CALMER,
    CONTEXTS,
    CORRECTIONS,
    FIXES,
    FSQ,
    INFO_NCE,
    MINIMAL,
    NO_VQ,
    TEMPERATURE,
    WELL_POSED,
)

STEPS = (
    NO_VQ,
    *FIXES,
    *CORRECTIONS,
    ALL_CORRECTIONS,
    FSQ,
    INFO_NCE,
    TEMPERATURE,
    MINIMAL,
    *CONTEXTS,
    *CALMER,
    WELL_POSED,
)
CODES = {step.name: step.code for step in STEPS} | {
    "base": "E0",
    "repaired": "R1",
    "repaired_no_vq": "R2",
}


def content_of(
    investigation: Investigation,
    folder: Path,
    seeds: int,
    epochs: int | None,
    advice: Recommended | None,
) -> Any:
    """Returns the investigation as nested dicts and lists.

    `folder` is that of the failing run. `epochs` is the length of every run, None for that of the
    failing run. `advice` is the recommended configuration, None without one.
    """
    return {
        "run_dir": str(folder),
        "experiment": str(investigation.base.get("name")),
        "answer": paragraph(investigation),
        "found": investigation.answered,
        "scenario": investigation.scenario or "unknown",
        "cause": investigation.cause,
        "questions": [
            {
                "question": a.question,
                "answer": a.answer,
                "why": a.why,
                "steps": list(a.steps),
                "runs": [
                    str(run.path) for step in a.steps for run in investigation.results[step].runs
                ],
            }
            for a in answers(investigation)
        ],
        "recommended": None if advice is None else asdict(advice),
        "seeds": seeds,
        "epochs": epochs,
        "steps": [_step(name, result) for name, result in investigation.results.items()],
        "trail": [asdict(entry) for entry in investigation.trail],
        "notes": list(investigation.notes),
        "stopped": investigation.stopped,
        "not_reached": list(investigation.pending) if investigation.repair is None else [],
    }


def _step(name: str, result: Result) -> dict[str, Any]:
    names = sorted({key for run in result.runs for key in run.verdict.figures})
    first = result.first
    return {
        "name": name,
        "code": CODES.get(name, "E4"),
        "overrides": dict(result.overrides),
        "verdict": result.line(),
        "good": result.good,
        "error": result.error,
        "figures": {key: {"median": result.figure(key), **_range(result, key)} for key in names},
        "first": None if first is None else asdict(first),
        "runs": [_run(run) for run in result.runs],
    }


def _range(result: Result, key: str) -> dict[str, float]:
    low, high = result.spread(key)
    return {"min": low, "max": high}


def _run(run: Ran) -> dict[str, Any]:
    verdict: RunVerdict = run.verdict
    return {
        "path": str(run.path),
        "seed": run.seed,
        "state": run.state,
        "reused": run.reused,
        "flags": sorted(verdict.flags),
        "status": verdict.status,
        "fired": [asdict(one) for one in verdict.fired],
        "slopes": dict(verdict.slopes),
    }


def shown(figure: Mapping[str, float] | None, percent: bool = False) -> str:
    """Formats a figure for a table: the median, with the range if seeds differ; '' if missing."""
    if figure is None or not math.isfinite(figure["median"]):
        return ""
    texts = [_number(figure[key], percent) for key in ("median", "min", "max")]
    return texts[0] if texts[1] == texts[2] else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"


# (heading, figure, whether it is shown in per cent)
COLUMNS = (
    ("loss", "primary", False),
    ("rank of context", "rank_context", False),
    ("rank of target", "rank_target", False),
    ("codes in use", "usage", True),
    ("spikes", "spikes", False),
)


def order_of(step: Mapping[str, Any]) -> str:
    """Returns the order of events of a step's first run, for example 'VQ_COLLAPSE at 250,
    EMB_COLLAPSE at 700'; '' if nothing fired."""
    fired = step["runs"][0]["fired"] if step["runs"] else []
    first_steps: dict[str, int] = {}
    for one in fired:
        if one["step"] is not None:
            first_steps.setdefault(one["flag"], one["step"])
    return ", ".join(f"{flag} at {step}" for flag, step in first_steps.items())
