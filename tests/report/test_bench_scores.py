"""Error rates on the benchmark: counts and intervals, thresholds fitted on other groups,
confidence and onsets, and the table of runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench_tables import bench_run, some_runs, write_table
from jepa_lab.diagnosis import Verdict
from jepa_lab.errors import UserError
from jepa_lab.report.collapse_bench.confidence import brier, onsets, reliability, weighed
from jepa_lab.report.collapse_bench.rules import (
    FAILED,
    FINE,
    UNSURE,
    Rule,
    metric_rule,
    threshold,
    verdict_of,
)
from jepa_lab.report.collapse_bench.runs import GROUPS, BenchRun, load_runs, rounded, save_runs
from jepa_lab.report.collapse_bench.score import score
from jepa_lab.report.collapse_bench.scores import (
    Counts,
    answers_out_of_group,
    count,
    folds,
    wilson,
    wrong_runs,
)


@pytest.mark.parametrize("group", GROUPS)
def test_a_fold_is_fitted_on_no_run_of_its_own_group_and_every_run_is_held_once(group: str) -> None:
    runs = some_runs()
    found = folds(runs, group)
    for fold in found:
        assert {getattr(r, group) for r in fold.held} == {fold.value}
        assert fold.value not in {getattr(r, group) for r in fold.fitted}
        assert not {r.name for r in fold.held} & {r.name for r in fold.fitted}
        assert all(r.label != "undecided" for r in fold.fitted)
    assert sorted(r.name for fold in found for r in fold.held) == sorted(r.name for r in runs)


def test_a_threshold_is_fitted_without_the_group_it_judges() -> None:
    asked: list[set[str]] = []

    def fit(fitted):
        asked.append({run.data for run in fitted})
        return lambda run: FINE

    answers_out_of_group(Rule("spy", fit), some_runs(), "data")
    assert asked == [{"shapes"}, {"digits"}]


def test_counts_are_of_labelled_runs_and_show_unsure_and_undecided_apart() -> None:
    labels = ["good", "good", "good", "failed", "failed", "failed", "undecided", "undecided"]
    answers = [FINE, FAILED, UNSURE, FAILED, FINE, UNSURE, FAILED, FINE]
    runs = [bench_run(str(i), label, 5.0) for i, label in enumerate(labels)]
    found = count(runs, {str(i): a for i, a in enumerate(answers)})
    assert found == Counts(3, 3, 1, 1, 1, 1, 2, 1)
    assert found.to_dict()["false_alarm_rate"]["value"] == pytest.approx(1 / 3)
    wrong = wrong_runs(runs, {str(i): a for i, a in enumerate(answers)})
    assert [(run.name, kind) for run, kind in wrong] == [("1", "false alarm"), ("4", "miss")]


def test_wilson_matches_known_intervals() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_threshold_separates_what_can_be_separated() -> None:
    assert threshold([1.0, 2.0], [4.0, 6.0]) == 3.0
    assert threshold([1.0, 5.0, math.nan], [4.0, 6.0, 7.0]) in (2.5, 5.5)
    assert threshold([], [1.0]) == -math.inf
    assert threshold([1.0], []) == -math.inf


def test_a_single_metric_calls_low_values_failed_or_high_ones_by_its_side() -> None:
    runs = some_runs()
    below = metric_rule("effective_rank").fit(runs)
    assert [below(run) for run in runs[:4]] == [FINE, FINE, FAILED, FAILED]
    relative = metric_rule("effective_rank", relative=True).fit(runs)
    assert [relative(run) for run in runs[:4]] == [FINE, FINE, FAILED, FAILED]
    above = metric_rule("mean_pairwise_cosine").fit(
        [_cosine("a", "good", 0.2), _cosine("b", "failed", 0.9)]
    )
    assert above(_cosine("c", "good", 0.8)) == FAILED
    assert above(_cosine("c", "good", 0.3)) == FINE


def test_a_metric_that_is_missing_is_unsure_and_features_that_are_not_finite_have_failed() -> None:
    rule = metric_rule("lidar").fit(some_runs())
    run = some_runs()[0]
    assert rule(run) == UNSURE
    broken = {**run.history, "val/z/effective_rank": [(10, math.nan)]}
    assert rule(replace(run, history=broken)) == FAILED


def test_scores_of_constructed_runs_are_counted_by_hand() -> None:
    scores = score(some_runs())
    assert scores["labels"] == {"failed": 5, "good": 5, "undecided": 2}
    rank = scores["rules"]["effective_rank"]["data"]
    assert (rank["all"]["false_alarms"], rank["all"]["misses"]) == (1, 1)
    assert (rank["digits"]["false_alarms"], rank["shapes"]["misses"]) == (1, 1)
    assert rank["all"]["alarms_undecided"] == 2
    for by in scores["rules"].values():
        for group in GROUPS:
            values = {k: c for k, c in by[group].items() if k != "all"}
            assert sum(c["good"] for c in values.values()) == by[group]["all"]["good"] == 5


def test_the_verdict_reads_the_history_alone() -> None:
    run = some_runs()[2]
    other = replace(run, label="good", quantities={}, condition="fault_x", data="other")
    assert verdict_of(run) == verdict_of(other)
    assert verdict_of(run).status == "dimensional_collapse"


def test_confidence_is_weighed_on_verdicts_that_say_something() -> None:
    runs = [
        bench_run(str(i), label, 5.0) for i, label in enumerate(("good", "failed", "undecided"))
    ]
    verdicts = {
        "0": Verdict("healthy", confidence=0.8),
        "1": Verdict("healthy", confidence=0.6),
        "2": Verdict("healthy", confidence=0.9),
    }
    known = weighed(runs, verdicts)
    assert known == [(0.8, True), (0.6, False)]
    assert brier(known) == pytest.approx((0.2**2 + 0.6**2) / 2)
    assert [(b.n, b.right) for b in reliability(known)] == [(1, 0), (1, 1)]
    assert weighed(runs, {k: Verdict("inconclusive") for k in verdicts}) == []
    assert brier([]) is None
    assert [b.n for b in reliability([(1.0, True), (0.99, True)])] == [2]


def test_onsets_compare_the_steps_of_failed_runs() -> None:
    runs = [
        bench_run("exact", "failed", 1.1, lost_at=30, fell_at=30),
        bench_run("near", "failed", 1.1, lost_at=40, fell_at=30),
        bench_run("far", "failed", 1.1, lost_at=60, fell_at=20),
        bench_run("missed", "failed", 15.0, lost_at=30),
        bench_run("good", "good", 15.0),
    ]
    found = onsets(runs, {run.name: verdict_of(run) for run in runs})
    assert (found.lost, found.dated, found.within) == (4, 3, 2)
    assert sorted(found.errors) == [-40, -10, 0]
    assert found.median == 10


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    runs = some_runs()
    again = load_runs(write_table(tmp_path / "runs.parquet", runs))
    assert [(r.name, r.label, r.lost_at, r.quantities) for r in again] == [
        (r.name, r.label, r.lost_at, r.quantities) for r in runs
    ]
    for one, other in zip(runs, again, strict=True):
        assert one.history.keys() == other.history.keys()
        for key, points in one.history.items():
            assert [s for s, _ in points] == [s for s, _ in other.history[key]]
            values = [v for _, v in other.history[key]]
            assert values == pytest.approx([v for _, v in points], rel=3e-5)
    save_runs(tmp_path / "twice.parquet", again)
    assert (tmp_path / "twice.parquet").read_bytes() == (tmp_path / "runs.parquet").read_bytes()


def test_rounding_keeps_signs_zeros_and_values_that_are_not_finite() -> None:
    values = [0.0, -1.5, math.inf, -math.inf, math.nan, 3.4e38, 1e-30]
    found = rounded(values)
    assert found[:4] == [0.0, -1.5, math.inf, -math.inf]
    assert math.isnan(found[4])
    assert np.allclose(found[5:], values[5:], rtol=3e-5)


@pytest.mark.parametrize("broken", ["missing", "text", "columns", "empty", "label"])
def test_a_file_that_is_no_table_of_runs_gets_one_line(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    if broken == "text":
        path.write_text("name,label\n")
    elif broken == "columns":
        pq.write_table(pa.table({"name": ["a"]}), path)
    elif broken == "empty":
        save_runs(path, [])
    elif broken == "label":
        save_runs(path, [replace(some_runs()[0], label="fine")])
    with pytest.raises(UserError, match=r"runs\.parquet") as caught:
        load_runs(path)
    assert "\n" not in str(caught.value)


def _cosine(name: str, label: str, value: float) -> BenchRun:
    run = bench_run(name, label, 9.0)
    return replace(run, history={**run.history, "val/z/mean_pairwise_cosine": [(10, value)]})
