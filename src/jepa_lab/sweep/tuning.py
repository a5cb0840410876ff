"""Chooses the weight of every arm of a comparison on validation, and keeps all candidates with
their results."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from jepa_lab.config.statuses import failed
from jepa_lab.ledger.finished_run import read_run
from jepa_lab.ledger.sweep_folder import ArmTuning, Candidate, WeightTrial


def candidate_weights(default: float, count: int, span: float) -> list[float]:
    """Returns `count` log-spaced weights above 0, rounded to three digits, with `default` in the
    middle.

    The last weight is `span` times the first. A count of 1 gives the default alone.
    """
    if count == 1:
        return [default]
    steps = [-0.5 + i / (count - 1) for i in range(count)]
    return [default if abs(step) < 1e-9 else float(f"{default * span**step:.3g}") for step in steps]


def measured(arm: ArmTuning, metric: str) -> ArmTuning:
    """Returns the arm with the results of its runs, read from their folders."""
    candidates = [Candidate(c.weight, [_read(t, metric) for t in c.trials]) for c in arm.candidates]
    return replace(arm, candidates=candidates)


def _read(trial: WeightTrial, metric: str) -> WeightTrial:
    bare = replace(trial, value=None, collapsed=False)
    try:
        run = read_run(Path(trial.run_dir))
    except (OSError, ValueError) as error:
        return replace(bare, why=str(error))
    state, reason = run.status.get("state"), run.status.get("reason")
    if state != "completed":
        return replace(bare, why=f"{state}: {reason}" if reason else str(state))
    value = run.last().get(metric)
    status = str((run.summary.get("verdict") or {}).get("status") or "")
    if value is None or not math.isfinite(value):
        return replace(bare, why=f"no finite {metric}")
    return replace(bare, value=value, collapsed=failed(status))
