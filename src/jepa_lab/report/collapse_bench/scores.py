"""Error rates of a rule with their intervals, on all runs and on groups that it was not fitted
on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jepa_lab.report.collapse_bench.rules import FAILED, FINE, UNSURE, Rule
from jepa_lab.report.collapse_bench.runs import BenchRun
from jepa_lab.report.intervals import wilson

Answers = dict[str, str]  # {run: failed, fine or unsure}


@dataclass(frozen=True)
class Counts:
    """The answers of a rule on labelled runs. `unsure_good` and `unsure_failed` are runs without an
    answer; they are in `good` and `failed`. `undecided` runs have no label, `alarms_undecided` of
    them are called failed."""

    good: int = 0
    failed: int = 0
    false_alarms: int = 0
    misses: int = 0
    unsure_good: int = 0
    unsure_failed: int = 0
    undecided: int = 0
    alarms_undecided: int = 0

    def to_dict(self) -> dict[str, object]:
        """Returns the counts, both rates and their intervals."""
        return {
            **vars(self),
            "false_alarm_rate": rate(self.false_alarms, self.good),
            "miss_rate": rate(self.misses, self.failed),
        }


@dataclass(frozen=True)
class Fold:
    """A group of runs and the others, which thresholds are fitted on."""

    value: str
    held: tuple[BenchRun, ...]
    fitted: tuple[BenchRun, ...]


def count(runs: Iterable[BenchRun], answers: Answers) -> Counts:
    """Returns the counts of answers on these runs."""
    n = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for run in runs:
        answer = answers[run.name]
        n[run.label] += 1
        if run.label == "undecided":
            n["alarms_undecided"] += answer == FAILED
        elif answer == UNSURE:
            n[f"unsure_{run.label}"] += 1
        elif run.label == "good":
            n["false_alarms"] += answer == FAILED
        else:
            n["misses"] += answer == FINE
    return Counts(**n)


def folds(runs: Sequence[BenchRun], group: str) -> list[Fold]:
    """Returns a fold for each value of data, network or method. Every run is held in one of
    them."""
    found = []
    for value in sorted({getattr(run, group) for run in runs}):
        held = tuple(r for r in runs if getattr(r, group) == value)
        fitted = tuple(
            r for r in runs if getattr(r, group) != value and r.label in ("good", "failed")
        )
        found.append(Fold(value, held, fitted))
    return found


def answers_out_of_group(rule: Rule, runs: Sequence[BenchRun], group: str) -> Answers:
    """Returns the answer on every run by the rule fitted on the other values of the group."""
    found: Answers = {}
    for fold in folds(runs, group):
        answer = rule.fit(fold.fitted)
        found |= {run.name: answer(run) for run in fold.held}
    return found


def rate(hits: int, n: int) -> dict[str, float | None]:
    """Returns a share with its interval. The share is None for n = 0."""
    low, high = wilson(hits, n)
    return {"value": hits / n if n else None, "low": low, "high": high}


def wrong_runs(runs: Sequence[BenchRun], answers: Answers) -> list[tuple[BenchRun, str]]:
    """Returns the runs that a rule got wrong, with "false alarm" or "miss"."""
    found = []
    for run in runs:
        if run.label == "good" and answers[run.name] == FAILED:
            found.append((run, "false alarm"))
        elif run.label == "failed" and answers[run.name] == FINE:
            found.append((run, "miss"))
    return found
