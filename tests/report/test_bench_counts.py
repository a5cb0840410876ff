"""The counts of the verdict on the runs that ship with the package."""

from __future__ import annotations

from collections import Counter

from jepa_lab.report.collapse_bench.rules import verdict_of, verdict_rule
from jepa_lab.report.collapse_bench.runs import SHIPPED, load_runs
from jepa_lab.report.collapse_bench.scores import answers_out_of_group, count


def test_false_alarms_and_misses_of_the_verdict_are_unchanged() -> None:
    runs = load_runs(SHIPPED)
    assert Counter(run.label for run in runs) == {"failed": 403, "good": 287, "undecided": 278}
    rule = verdict_rule({run.name: verdict_of(run) for run in runs})
    found = count(runs, answers_out_of_group(rule, runs, "data"))
    assert (found.false_alarms, found.misses) == (65, 90), (
        "the rules changed their verdicts: update the counts here and in docs/collapse_bench.md"
    )
