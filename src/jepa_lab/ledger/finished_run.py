"""Reads the files of one run: configuration, status and summary."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepa_lab.ledger.read import read_if_possible, require_object
from jepa_lab.ledger.summary import summary_values

USUAL_STUDY = "seq_jepa"  # for runs from before the key `study` existed


@dataclass(frozen=True)
class Run:
    """The files of one run. `status` and `summary` are empty if their file is missing."""

    path: Path
    config: dict[str, Any]
    status: dict[str, Any]
    summary: dict[str, Any]

    def last(self) -> dict[str, float]:
        """Returns {key: last value}. A value that was not finite is NaN."""
        return summary_values(self.summary)

    def ended_in_nan(self) -> bool:
        """Returns whether the status names a first value that is not finite, or a training loss is
        not finite at the end."""
        losses = [value for key, value in self.last().items() if key.startswith("train/loss/")]
        return bool(self.status.get("first_bad")) or not all(map(math.isfinite, losses))


def read_run(path: Path) -> Run:
    """Returns the run in `path`. Raises ValueError with a short text if a file is missing or
    damaged."""
    if not path.is_dir():
        raise ValueError("no such folder")
    if not (path / "config.yaml").is_file():
        raise ValueError("no config.yaml")
    run = Run(
        path,
        *(require_object(path / name) for name in ("config.yaml", "status.json", "summary.json")),
    )
    run.config.setdefault("study", USUAL_STUDY)
    if not isinstance(run.status.get("run_id", ""), str):
        raise ValueError("status.json is damaged: run_id is no text")
    try:
        run.last()
        verdict_text(run.summary)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise ValueError("summary.json is damaged") from None
    return run


def verdict_text(summary: Mapping[str, Any]) -> str | None:
    """Returns status, place and step as in diagnosis.Verdict.line, without the reasons. None
    without a verdict."""
    verdict = summary.get("verdict") or {}
    place = f" of {verdict['tap']}" if verdict.get("tap") else ""
    since = f" since step {verdict['since_step']}" if verdict.get("since_step") is not None else ""
    return f"{verdict['status']}{place}{since}" if verdict.get("status") else None


# dataset keys in which a control run may differ from the arms: how the first view of training is
# drawn, and where the images are stored
FREE = (
    "name",
    "usual_first_view",
    "first_view",
    "eval_first_view",
    "root",
    "path",
    "saliency_path",
    "tiers",
)


def control_runs(runs: Sequence[Path], control: str) -> list[Path]:
    """Returns the completed runs of the experiment `control` in the same runs_dir that share the
    protocol of `runs`.

    The protocol is the seed, data, budget, encoder, probes, precision and threads (see
    protocol_of).
    """
    configs = [read_if_possible(run / "config.yaml") for run in runs]
    wanted = {json.dumps(protocol_of(config), sort_keys=True) for config in configs if config}
    controls = []
    for runs_dir in {run.parent.parent for run in runs}:
        for path in sorted((runs_dir / control).glob("*/config.yaml")):
            config = read_if_possible(path)
            status = read_if_possible(path.with_name("status.json"))
            completed = status.get("state") == "completed"
            if completed and json.dumps(protocol_of(config), sort_keys=True) in wanted:
                controls.append(path.parent)
    return controls


def protocol_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that a control must share with the arms: seed, data, budget, encoder,
    probes, precision, recipe and threads."""
    dataset = {k: v for k, v in (config.get("dataset") or {}).items() if k not in FREE}
    parts = {key: config.get(key) for key in ("seed", "encoder", "precision", "probes", "recipe")}
    threads = (config.get("hardware") or {}).get("threads")
    return {
        **parts,
        "dataset": {"name": (config.get("dataset") or {}).get("name"), **dataset},
        "threads": threads,
    }


def diverged(run: Run, metric: str | None = None) -> bool:
    """Returns whether the verdict is "diverged", or the loss or the metric is not finite at the
    end."""
    status = (run.summary.get("verdict") or {}).get("status")
    last = run.last()
    return (
        status == "diverged"
        or run.ended_in_nan()
        or (metric in last and not math.isfinite(last[metric]))
    )
