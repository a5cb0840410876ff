"""Scores every rule on the table of labelled runs: the content of the benchmark's report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from jepa_lab.config.statuses import STATUSES
from jepa_lab.diagnosis import Verdict
from jepa_lab.report.collapse_bench.confidence import brier, onsets, reliability, weighed
from jepa_lab.report.collapse_bench.odds_fit import (
    by_rules,
    left_open,
    odds_rule,
    quantities_by_run,
    verdicts_out_of_group,
)
from jepa_lab.report.collapse_bench.rules import Rule, answer_of, built_in
from jepa_lab.report.collapse_bench.runs import GROUPS, LABELS, BenchRun
from jepa_lab.report.collapse_bench.scores import Answers, answers_out_of_group, count, wrong_runs

# the verdict is counted by these as well
KINDS = ("label_features", "label_prediction", "kind", "length", "condition")
TOTAL = "all"


def score(
    runs: Sequence[BenchRun], own: Sequence[Rule] = (), groups: Sequence[str] = GROUPS
) -> dict[str, Any]:
    """Returns the scores of the built-in rules and of the user's `own`.

    - runs, labels {label: runs}, by {group: {value: {label: runs}}}
    - rules {rule: {group: {value: counts}}}: thresholds, and the weights of the verdict's
      probability, are fitted on the other values of the group; the value "all" counts every run
      once. "rules alone" is the verdict without a probability, "odds alone" the probability
    - statuses {status: {label: runs}} of the verdict, and counts by each of KINDS
    - confidence: brier, bins, and by group; onset; wrong: the runs that each rule got wrong
    """
    ruled, quantities = by_rules(runs), quantities_by_run(runs)
    judged = {
        group: verdicts_out_of_group(runs, group, ruled, left_open(quantities, ruled))
        for group in groups
    }
    verdicts = judged[groups[0]]
    rules = [odds_rule(quantities), *built_in(), *own]
    out_of = {
        "verdict": {group: _answers(judged[group]) for group in groups},
        "rules alone": dict.fromkeys(groups, _answers(ruled)),
        **{r.name: {g: answers_out_of_group(r, runs, g) for g in groups} for r in rules},
    }
    return {
        "runs": len(runs),
        "labels": _labels(runs),
        "by": {group: _by_value(runs, group, _labels) for group in groups},
        "rules": {
            name: {group: _counts(runs, group, answers) for group, answers in by.items()}
            for name, by in out_of.items()
        },
        "statuses": _statuses(runs, verdicts),
        **{f"by_{kind}": _counts(runs, kind, out_of["verdict"][groups[0]]) for kind in KINDS},
        "confidence": _confidence(runs, verdicts, groups),
        "onset": _onset(runs, verdicts),
        "wrong": {
            name: [_wrong(run, kind, verdicts) for run, kind in wrong_runs(runs, by[groups[0]])]
            for name, by in out_of.items()
        },
    }


def _answers(verdicts: dict[str, Verdict]) -> Answers:
    return {name: answer_of(verdict.status) for name, verdict in verdicts.items()}


def _labels(runs: Sequence[BenchRun]) -> dict[str, int]:
    found = Counter(run.label for run in runs)
    return {label: found[label] for label in LABELS}


def _by_value(
    runs: Sequence[BenchRun], group: str, of: Callable[[Sequence[BenchRun]], dict[str, Any]]
) -> dict[str, Any]:
    """Returns {value of the group: `of` its runs}."""
    values = sorted({getattr(run, group) for run in runs})
    return {v: of([run for run in runs if getattr(run, group) == v]) for v in values}


def _counts(runs: Sequence[BenchRun], group: str, answers: Answers) -> dict[str, Any]:
    found = _by_value(runs, group, lambda some: count(some, answers).to_dict())
    return {TOTAL: count(runs, answers).to_dict(), **found}


def _statuses(runs: Sequence[BenchRun], verdicts: dict[str, Verdict]) -> dict[str, dict[str, int]]:
    found = Counter((verdicts[run.name].status, run.label) for run in runs)
    used = [s for s in STATUSES if any(found[s, label] for label in LABELS)]
    return {s: {label: found[s, label] for label in LABELS} for s in used}


def _confidence(
    runs: Sequence[BenchRun], verdicts: dict[str, Verdict], groups: Sequence[str]
) -> dict[str, Any]:
    def of(some: Sequence[BenchRun]) -> dict[str, Any]:
        known = weighed(some, verdicts)
        right = sum(r for _, r in known)
        mean = sum(c for c, _ in known) / len(known) if known else None
        return {"n": len(known), "right": right, "mean": mean, "brier": brier(known)}

    return {
        **of(runs),
        "bins": [asdict(b) for b in reliability(weighed(runs, verdicts))],
        "by": {group: _by_value(runs, group, of) for group in groups},
    }


def _onset(runs: Sequence[BenchRun], verdicts: dict[str, Verdict]) -> dict[str, Any]:
    found = onsets(runs, verdicts)
    return {**asdict(found), "errors": list(found.errors), "median": found.median}


def _wrong(run: BenchRun, kind: str, verdicts: dict[str, Verdict]) -> dict[str, Any]:
    verdict = verdicts[run.name]
    return {
        "run": run.name,
        "error": kind,
        "features": run.label_features,
        "prediction": run.label_prediction,
        "verdict": verdict.line(),
    }
