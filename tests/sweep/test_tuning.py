"""The choice of an arm's weight on made-up runs: the rule, its ties, and the file that keeps the
choice."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from comparison_runs import METRIC, make_run
from jepa_lab.ledger.sweep_folder import (
    ArmTuning,
    Candidate,
    Record,
    Tuning,
    WeightTrial,
    read_tuning,
    write_tuning,
)
from jepa_lab.report.comparison.report import aux_comparison, free_folder
from jepa_lab.report.comparison.tuning import tuning_lines
from jepa_lab.sweep.tuning import candidate_weights, measured

KEY = "val/probe/class_from_z_agg"
Given = float | str | None  # a value, as text for a collapsed run, None for a failed run


def trial(seed: int, given: Given) -> WeightTrial:
    if given is None:
        return WeightTrial(seed, f"r{seed}", "nowhere", why="failed: no luck")
    return WeightTrial(seed, f"r{seed}", "nowhere", float(given), collapsed=isinstance(given, str))


def arm(candidates: dict[float, Sequence[Given]], default: float = 1.0) -> ArmTuning:
    tried = [
        Candidate(w, [trial(seed, one) for seed, one in enumerate(values)])
        for w, values in candidates.items()
    ]
    return ArmTuning("vicreg", "aux.vicreg.weight", default, tried)


def chosen(candidates: dict[float, Sequence[Given]], default: float = 1.0) -> float | None:
    taken = arm(candidates, default).chosen
    return taken.weight if taken else None


@pytest.mark.parametrize(
    ("default", "count", "span", "weights"),
    [
        (1.0, 5, 100.0, [0.1, 0.316, 1.0, 3.16, 10.0]),
        (0.05, 3, 100.0, [0.005, 0.05, 0.5]),
        (0.003, 2, 4.0, [0.0015, 0.006]),
        (0.12345, 3, 100.0, [0.0123, 0.12345, 1.23]),
        (0.7, 1, 100.0, [0.7]),
    ],
)
def test_the_candidate_weights_are_log_spaced_around_the_default(
    default: float, count: int, span: float, weights: list[float]
) -> None:
    assert candidate_weights(default, count, span) == weights


def test_the_candidate_weights_scale_with_the_default() -> None:
    for one, other in zip(
        candidate_weights(1.0, 7, 50.0), candidate_weights(1000.0, 7, 50.0), strict=True
    ):
        assert math.isclose(1000 * one, other, rel_tol=1e-9)


def test_the_highest_mean_over_the_seeds_is_chosen() -> None:
    assert chosen({0.1: [0.5, 0.7], 1.0: [0.9, 0.2], 10.0: [0.6, 0.65]}) == 10.0


def test_collapsed_and_failed_runs_come_last_whatever_their_values() -> None:
    assert chosen({0.1: ["0.9", "0.9"], 1.0: ["0.9", 0.9], 10.0: [0.2, 0.3]}) == 10.0
    assert chosen({0.1: ["0.9", "0.9"], 1.0: [0.5, "0.5"]}) == 1.0
    assert chosen({0.1: [0.9, None], 1.0: [0.2, 0.2]}) == 1.0
    assert chosen({0.1: [0.9, None], 1.0: [None, None]}) == 0.1


def test_ties_go_to_the_weight_nearest_to_the_default_then_the_smaller() -> None:
    assert chosen({0.1: [0.5], 1.0: [0.5], 10.0: [0.5]}) == 1.0
    assert chosen({0.1: [0.5], 10.0: [0.5]}) == 0.1


def test_without_any_value_no_weight_is_chosen_and_the_report_has_the_reason() -> None:
    lost = arm({0.1: [None], 1.0: [None]})
    assert lost.chosen is None
    lines = tuning_lines(Tuning("s", KEY, [0], [lost]))
    assert (
        lines[1]
        == "vicreg: no weight could be chosen and the arm is not compared: failed: no luck."
    )


def test_the_report_has_the_effect_of_the_weight_and_marks_an_edge_choice() -> None:
    inside = tuning_lines(
        Tuning("s", KEY, [0, 1], [arm({0.1: [0.5, 0.7], 1.0: [0.9, 0.9], 10.0: ["0.4", 0.6]})])
    )
    assert inside[0].startswith(
        "Tuning: 3 weights for every arm except none, chosen by class z_agg on val over seeds 0, 1"
    )
    assert (
        inside[1]
        == "vicreg: aux.vicreg.weight=1 (by default 1); 0.1 gave 60.0 %, 1 gave 90.0 %, 10 gave"
        " 50.0 % (1 of 2 collapsed or failed); 40.0 points between the best and the worst."
    )
    edge = tuning_lines(Tuning("s", KEY, [0], [arm({0.1: [0.7], 1.0: [0.5]})]))[1]
    assert edge.endswith(
        "The chosen weight is the smallest or largest tried: a better one may lie beyond."
    )


def test_the_result_of_a_run_is_read_from_its_folder(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0, 0.8)
    make_run(tmp_path, "a", 1, 0.8, verdict="dimensional_collapse")
    make_run(tmp_path, "a", 2, 0.8, verdict="low_rank")
    make_run(tmp_path, "a", 3, None, state="failed", reason="no luck")
    make_run(tmp_path, "a", 4, 0.8, state="stopped")
    folders = [tmp_path / "a" / f"a-{seed}" for seed in range(6)]
    bare = [WeightTrial(seed, f"a-{seed}", str(path)) for seed, path in enumerate(folders)]
    results = (
        measured(ArmTuning("a", "aux.a.weight", 1.0, [Candidate(1.0, bare)]), KEY)
        .candidates[0]
        .trials
    )
    summary = json.loads((folders[0] / "summary.json").read_text())
    assert results[0].value == summary["metrics"][KEY]["last"]
    assert [t.collapsed for t in results] == [False, True, False, False, False, False]
    assert [t.value is None for t in results] == [False, False, False, True, True, True]
    assert [t.why for t in results[3:]] == ["failed: no luck", "stopped", "no such folder"]


def test_the_file_is_read_as_written_and_a_damaged_one_as_none(tmp_path: Path) -> None:
    tuning = Tuning("s", KEY, [0, 1], [arm({0.1: [0.5, "0.7"], 1.0: [0.9, None]})])
    path = write_tuning(tmp_path, tuning)
    assert read_tuning(tmp_path) == tuning
    assert json.loads(path.read_text())["arms"][0]["chosen"] == 1.0
    path.write_text('{"sweep": "s"}')
    assert read_tuning(tmp_path) is None
    path.write_text("{")
    assert read_tuning(tmp_path) is None


def test_a_choice_is_reused_only_for_the_same_runs_and_metric() -> None:
    one = Tuning("s", KEY, [0], [arm({0.1: [0.5]})])
    plan = Tuning(
        "s",
        KEY,
        [0],
        [
            ArmTuning(
                "vicreg", "aux.vicreg.weight", 1.0, [Candidate(0.1, [WeightTrial(0, "r0", "")])]
            )
        ],
    )
    assert one.same_runs(plan)
    assert not one.same_runs(Tuning("s", "val/skill", [0], plan.arms))
    assert not one.same_runs(Tuning("other", KEY, [0], plan.arms))
    assert not one.same_runs(Tuning("s", KEY, [0], [arm({0.2: [0.5]})]))
    assert one.settled
    assert not Tuning("s", KEY, [0], [arm({0.1: [0.5], 1.0: [None]})]).settled


def test_a_job_without_a_folder_and_an_arm_without_a_weight_are_named(tmp_path: Path) -> None:
    records = []
    for number, (name, seed) in enumerate(
        [("none", 0), ("none", 1), ("vicreg", 0), ("vicreg", 1)], start=1
    ):
        path = make_run(
            tmp_path / "runs",
            name,
            seed,
            0.5 + 0.1 * seed,
            settings={"aux": {name: {"weight": 1.0}}} if name == "vicreg" else None,
        )
        records.append(
            Record(number, [f"aux={name}", f"seed={seed}"], "done", path.name, str(path))
        )
    records.append(Record(5, ["aux=vicreg", "seed=2"], "failed", reason="no data"))
    records.append(
        Record(
            6,
            ["aux=vicreg", "seed=7", "aux.vicreg.weight=1"],
            "done",
            "x",
            str(tmp_path / "tuning"),
        )
    )
    lost = ArmTuning("dino", "aux.dino.weight", 1.0, [Candidate(1.0, [trial(7, None)])])
    write_tuning(tmp_path, Tuning("s", KEY, [7], [arm({1.0: [0.5]}), lost]))
    text = aux_comparison(records, tmp_path, tmp_path / "results")
    assert "not a run: job 5, aux=vicreg seed=2 (failed: no data)" in text
    assert "dino: no weight could be chosen" in text
    rows = json.loads((tmp_path / "results" / "experiment_comparison_results.json").read_text())
    assert {row["aux_loss_type"]: row["n"] for row in rows} == {"none": 2, "vicreg": 2}
    assert all(row["metric"] == METRIC for row in rows)


def test_results_of_another_comparison_are_not_overwritten(tmp_path: Path) -> None:
    results = tmp_path / "comparison_results"
    assert free_folder(results, "s") == results
    results.mkdir()
    (results / "experiment_comparison_results.json").write_text("[]")
    assert free_folder(results, "s") == tmp_path / "comparison_results_s"
    write_tuning(results, Tuning("s", KEY, [0], []))
    assert free_folder(results, "s") == results
    assert free_folder(results, "t") == tmp_path / "comparison_results_t"
