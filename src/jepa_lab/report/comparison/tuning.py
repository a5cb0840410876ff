"""The first stage of a comparison: runs that only choose weights, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.sweep_folder import FILE, ArmTuning, Candidate, Tuning, read_tuning
from jepa_lab.report.comparison.find_runs import FoundRuns
from jepa_lab.report.comparison.paired_text import is_accuracy, number_text
from jepa_lab.report.comparison.ranking_text import metric_name

STAGED = "aux_comparison"  # value of sweep.report in runs of a comparison with tuned weights


def is_tuning(run: Run) -> bool:
    """Returns whether the run only chooses a weight, i.e. has a tuning seed of its comparison."""
    sweep = run.config.get("sweep") or {}
    return sweep.get("report") == STAGED and run.config.get("seed") in (
        (sweep.get("tuning") or {}).get("seeds") or ()
    )


def without_tuning(found: FoundRuns) -> tuple[FoundRuns, list[str]]:
    """Returns the runs without those that choose weights, and a line on the removed runs.

    If there are no other runs yet, all are kept."""
    tuning = [run for run in found.runs if is_tuning(run)]
    if not tuning:
        return found, []
    seeds = ", ".join(map(str, sorted({run.config["seed"] for run in tuning})))
    runs = f"{len(tuning)} run{'s' * (len(tuning) > 1)} of seed{'s' * (',' in seeds)} {seeds}"
    if len(tuning) == len(found.runs):
        return found, [
            f"{runs}: they choose weights; the reported runs of this comparison have not begun"
        ]
    kept = [run for run in found.runs if not is_tuning(run)]
    return FoundRuns(kept, found.skipped), [f"{runs} only chose the weights: left out"]


def tunings_of(runs: Sequence[Run], runs_dir: Path) -> list[Tuning]:
    """Returns the tunings of sweeps below `runs_dir` in which one of the runs tried a weight."""
    own = {run.status.get("run_id") for run in runs}
    folders = [
        path.parent
        for path in sorted(
            {*runs_dir.glob(f"sweeps/*/{FILE}"), *runs_dir.glob(f"*/sweeps/*/{FILE}")}
        )
    ]
    tunings = [tuning for tuning in map(read_tuning, folders) if tuning is not None]
    return [
        tuning
        for tuning in tunings
        if any(t.run_id in own for a in tuning.arms for c in a.candidates for t in c.trials)
    ]


def tuning_data(tuning: Tuning) -> dict[str, Any]:
    """Returns the tuning for the page: the weights of every arm, their results, and whether the
    chosen weight is the smallest or largest that was tried."""
    return {
        "name": metric_name(tuning.metric),
        "percent": is_accuracy(tuning.metric),
        "seeds": list(tuning.seeds),
        "arms": [_arm(arm) for arm in tuning.arms],
    }


def _arm(arm: ArmTuning) -> dict[str, Any]:
    chosen = arm.chosen
    return {
        "arm": arm.arm,
        "key": arm.key,
        "default": arm.default,
        "chosen": None if chosen is None else chosen.weight,
        "end": arm.end,
        "candidates": [
            {
                "weight": candidate.weight,
                "mean": candidate.mean,
                "values": [[trial.seed, trial.value] for trial in candidate.trials],
                "bad": candidate.bad,
                "n": len(candidate.trials),
            }
            for candidate in arm.candidates
        ],
    }


def tuning_lines(tuning: Tuning) -> list[str]:
    """Returns a line on the tuning, and a line for each arm: the chosen weight, and the effect of
    the weight on the metric."""
    if not tuning.arms:
        return ["Tuning: no arm has a weight."]
    weights, seeds = max(len(arm.candidates) for arm in tuning.arms), len(tuning.seeds)
    head = (
        f"Tuning: {weights} weight{'s' * (weights != 1)} for every arm except none, chosen by"
        f" {metric_name(tuning.metric)} over seed{'s' * (seeds != 1)}"
        f" {', '.join(map(str, tuning.seeds))}, whose runs are not reported. Weights with fewer"
        " collapsed or failed runs are preferred."
    )
    return [head, *(_arm_line(arm, tuning.metric) for arm in tuning.arms)]


def _arm_line(arm: ArmTuning, metric: str) -> str:
    figures = ", ".join(_figure(candidate, metric) for candidate in arm.candidates)
    chosen = arm.chosen
    if chosen is None:
        reasons = [
            trial.why for candidate in arm.candidates for trial in candidate.trials if trial.why
        ]
        return (
            f"{arm.arm}: no weight could be chosen and the arm is not compared:"
            f" {reasons[0] if reasons else 'no run'}."
        )
    means = [candidate.mean for candidate in arm.candidates if candidate.mean is not None]
    unit = " points" if is_accuracy(metric) else ""
    spread = (
        f"; {number_text(max(means) - min(means), metric)}{unit} between the best and the worst"
    )
    return (
        f"{arm.arm}: {arm.key}={chosen.weight:g} (by default {arm.default:g});"
        f" {figures}{spread * (len(means) > 1)}."
        + " The chosen weight is the smallest or largest tried: a better one may lie beyond."
        * bool(arm.end)
    )


def _figure(candidate: Candidate, metric: str) -> str:
    """Returns e.g. '0.1 gave 81.2 %', with the number of runs that collapsed or failed."""
    mean = candidate.mean
    value = (
        "nothing"
        if mean is None
        else f"{number_text(mean, metric)}{' %' if is_accuracy(metric) else ''}"
    )
    bad = (
        f" ({candidate.bad} of {len(candidate.trials)} collapsed or failed)"
        if candidate.bad
        else ""
    )
    return f"{candidate.weight:g} gave {value}{bad}"
