import math
from pathlib import Path

import pytest

from comparison_runs import METRIC, arm_of, every_state, make_run
from jepa_lab.errors import UserError
from jepa_lab.report.comparison.arms import paired_table
from jepa_lab.report.comparison.find_runs import find_runs
from jepa_lab.report.comparison.metric_choice import choose_metric, direction_of
from jepa_lab.report.comparison.ranking import Ranking, rank_runs
from jepa_lab.report.comparison.ranking_text import (
    grid,
    missing_lines,
    ranking_lines,
    seeds_for,
    summary_text,
    verdict_lines,
)
from jepa_lab.report.comparison.statistics import bootstrap_interval


def ranked(
    root: Path, control: str | None = None, direction: str = "max", keys: tuple[str, ...] = ()
) -> Ranking:
    return rank_runs(find_runs(root).runs, METRIC, direction, control, keys)


def order(ranking: Ranking) -> list[tuple[str, int | None]]:
    return [(one.name, one.rank) for one in ranking.arms]


def two_arms(root: Path, n: int, gap: float = 0.05) -> Path:
    for seed in range(n):
        make_run(root, "seq_jepa_baseline", seed, 0.5 + 0.01 * seed)
        make_run(root, "other", seed, 0.5 + 0.01 * seed + gap + 0.001 * (seed % 3))
    return root


# order


def test_collapsed_arms_and_arms_without_results_are_ranked_last(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path))
    names = [
        ("better", 1),
        ("seq_jepa_baseline", 2),
        ("partial", 3),
        ("collapsed", 4),
        ("never", None),
    ]
    assert order(ranking) == names
    assert [one.collapsed for one in ranking.arms] == [False, False, False, True, False]
    assert ranking.arms[3].paired.mean.mean > ranking.arms[0].paired.mean.mean  # type: ignore[operator]


def test_the_other_direction_reverses_the_order_except_for_collapsed_arms(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path), direction="min")
    assert [name for name, _ in order(ranking)] == [
        "partial",
        "seq_jepa_baseline",
        "better",
        "collapsed",
        "never",
    ]


def test_an_arm_is_collapsed_if_more_than_half_of_its_completed_runs_are(tmp_path: Path) -> None:
    for seed in range(4):
        make_run(
            tmp_path, "half", seed, 0.9, verdict="complete_collapse" if seed < 2 else "healthy"
        )
        make_run(
            tmp_path, "most", seed, 0.9, verdict="complete_collapse" if seed < 3 else "low_rank"
        )
    assert [(one.name, one.collapsed) for one in ranked(tmp_path).arms] == [
        ("half", False),
        ("most", True),
    ]


def test_equal_means_share_a_rank_and_the_next_rank_is_skipped(tmp_path: Path) -> None:
    for arm, value in {"a": 0.5, "b": 0.5, "c": 0.25}.items():
        make_run(tmp_path, arm, 0, value)
    assert order(ranked(tmp_path)) == [("a", 1), ("b", 1), ("c", 3)]


# differences and conclusions


def test_the_differences_are_those_of_the_paired_table(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path))
    table = {
        row.arm: row for row in paired_table(ranking.comparison, "seq_jepa_baseline", [METRIC])
    }
    assert {one.name: one.paired for one in ranking.arms} == table
    base = {seed: 0.80 + 0.01 * seed for seed in range(6)}
    expected = bootstrap_interval({seed: 0.79 + 0.012 * seed for seed in range(3)}, base)
    (partial,) = (one for one in ranking.arms if one.name == "partial")
    assert partial.bootstrap == pytest.approx(expected)


def test_a_difference_over_eight_seeds_is_better_or_worse_by_direction(tmp_path: Path) -> None:
    two_arms(tmp_path, 8)
    up, down = (ranked(tmp_path, direction=direction) for direction in ("max", "min"))
    assert {one.name: one.conclusion for one in up.arms} == {
        "other": "better",
        "seq_jepa_baseline": "control",
    }
    assert {one.name: one.conclusion for one in down.arms} == {
        "other": "worse",
        "seq_jepa_baseline": "control",
    }
    assert (
        verdict_lines(up)[0] == "Against the control seq_jepa_baseline, shown to be better: other."
    )
    assert (
        verdict_lines(down)[0] == "Against the control seq_jepa_baseline, shown to be worse: other."
    )


def test_three_seeds_cannot_show_a_difference_and_the_text_explains_it(tmp_path: Path) -> None:
    ranking = ranked(two_arms(tmp_path, 3, gap=0.4))
    assert ranking.arms[0].conclusion == "no difference shown"
    lines = verdict_lines(ranking)
    assert lines[0] == "Against the control seq_jepa_baseline, no difference shown: other."
    assert lines[2].startswith(
        "With 3 seeds and 1 comparison p cannot go below 0.25: no difference, however large"
    )


def test_failed_and_killed_runs_are_listed_and_not_counted(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path))
    (partial,) = (one for one in ranking.arms if one.name == "partial")
    assert (partial.paired.mean.n, partial.paired.others) == (3, {"failed": 1, "killed": 1})
    assert grid(ranking)[3] == [
        "partial",
        "completed",
        "completed",
        "completed",
        "failed",
        "killed",
        "missing",
    ]
    lines = missing_lines(ranking)
    assert "partial, seed 3: failed (out of memory <b>bold</b>)" in lines
    assert "partial, seed 4: killed (no reason was written)" in lines
    assert "partial: no run of seed 5" in lines


def test_runs_without_the_metric_are_missing_and_nan_runs_are_left_out(tmp_path: Path) -> None:
    two_arms(tmp_path, 3)
    make_run(tmp_path, "other", 3, None)
    make_run(tmp_path, "other", 4, math.nan)
    ranking = ranked(tmp_path)
    assert f"other, seed 3: completed without {METRIC}" in missing_lines(ranking)
    assert (ranking.arms[0].paired.mean.n, ranking.arms[0].paired.mean.left_out) == (3, 1)


def test_the_summary_has_verdict_ranking_missing_runs_and_statistics(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path))
    text = summary_text([ranking], [("gone", "no config.yaml")])
    heads = [
        "Against the control",
        "Ranking by class z_agg on test (higher is better)",
        "Arm x seed",
        "Missing, failed",
    ]
    places = [
        text.index(head) for head in [*heads, "Statistics", "not a run: gone (no config.yaml)"]
    ]
    assert places == sorted(places)
    assert "  4. collapsed: 95.2 ± 0.2 %, 6 seeds; no difference shown" in text
    assert ranking_lines(ranking)[4] == "  -. never: no completed run has the metric"


def test_a_single_arm_is_ranked_with_a_note(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0)
    assert verdict_lines(ranked(tmp_path))[1].startswith("Only one arm has results")


# the best run


def test_the_best_run_is_chosen_on_validation_and_not_on_test(tmp_path: Path) -> None:
    val = "val/probe/class_from_z_agg"
    make_run(tmp_path, "a", 0, 0.9, extra={val: 0.1})
    make_run(tmp_path, "a", 1, 0.5, extra={val: 0.8})
    best = ranked(tmp_path).arms[0].best
    assert best is not None
    assert best["run"] == "a-1"


def test_a_collapsed_run_is_the_best_only_if_all_collapsed(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0, 0.9, verdict="complete_collapse")
    make_run(tmp_path, "a", 1, 0.5)
    make_run(tmp_path, "b", 0, 0.4, verdict="complete_collapse")
    best = {one.name: one.best and one.best["run"] for one in ranked(tmp_path).arms}
    assert best == {"a": "a-1", "b": "b-0"}


# arms and the control


def test_arms_come_from_the_settings_that_differ(tmp_path: Path) -> None:
    for rate in (0.1, 0.01):
        for seed in (0, 1):
            folder, run_id = tmp_path / str(rate), f"{rate}-{seed}"
            make_run(folder, "b", seed, rate, settings={"loss.lambda_rate": rate}, run_id=run_id)
    assert [one.name for one in ranked(tmp_path).arms] == [
        "loss.lambda_rate=0.1",
        "loss.lambda_rate=0.01",
    ]


def test_an_arm_is_named_by_its_experiment_and_distinguishing_settings(tmp_path: Path) -> None:
    settings = [("a", "ema", 1), ("b", "shared", 1), ("b", "shared", 2), ("c", "ema", 2)]
    for i, (arm, target, alpha) in enumerate(settings):
        own = {"target.name": target, "loss.alpha": alpha}
        for seed in (0, 1):
            make_run(tmp_path / str(i), arm, seed, settings=own, run_id=f"{i}-{seed}")
    ranking = ranked(tmp_path, control="b loss.alpha=2")
    names = ["a", "b loss.alpha=1", "b loss.alpha=2", "c"]
    assert [name for name, _ in order(ranking)] == names
    assert sorted(one.paired.arm for one in ranking.arms) == names
    assert (ranking.control, [one.paired.is_control for one in ranking.arms].index(True)) == (
        names[2],
        2,
    )


def test_an_arm_key_defines_the_arms_even_if_other_settings_differ(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path, "a", seed, settings={"aux": "vicreg", "optim.lr": 0.1 * (1 + seed)})
        make_run(tmp_path, "b", seed, settings={"aux": "none", "optim.lr": 0.1 * (1 + seed)})
    ranking = ranked(tmp_path, keys=("aux",))
    assert {one.name: one.paired.mean.n for one in ranking.arms} == {"none": 3, "vicreg": 3}
    assert ranking.control == "none"


def test_two_runs_of_one_arm_and_seed_are_an_error_with_the_differing_keys(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0, settings={"aux": "vicreg", "loss.alpha": 1})
    make_run(tmp_path, "b", 0, settings={"aux": "vicreg", "loss.alpha": 2})
    with pytest.raises(
        UserError, match=r"a-0 and b-0 both have seed 0; they differ in experiment, loss.alpha: add"
    ):
        ranked(tmp_path, keys=("aux",))


def test_a_copied_run_counts_once_and_is_reported(tmp_path: Path) -> None:
    two_arms(tmp_path, 3)
    copy = make_run(tmp_path / "copy", "other", 0, 0.99)
    ranking = ranked(tmp_path)
    assert ranking.arms[0].paired.mean.n == 3
    assert any("the same run as" in note for note in ranking.notes)
    assert copy.is_dir()


def test_the_control_is_an_arm_a_value_or_settings(tmp_path: Path) -> None:
    every_state(tmp_path)
    for control in ("better", "experiment=better"):
        assert ranked(tmp_path, control=control).control == "better"
    with pytest.raises(
        UserError,
        match="--control nobody: no arm matches the control nobody; the arms are: better; ",
    ):
        ranked(tmp_path, control="nobody")


def test_the_control_of_one_experiment_has_no_auxiliary_loss(tmp_path: Path) -> None:
    for aux in ("dino", "none", "vicreg"):
        for seed in range(2):
            make_run(tmp_path / aux, "one", seed, settings={"aux": aux}, run_id=f"{aux}-{seed}")
    ranking = ranked(tmp_path)
    assert (ranking.control, ranking.notes) == ("none", [])
    assert {one.name for one in ranking.arms} == {"none", "vicreg", "dino"}


def test_the_control_of_several_experiments_is_the_plain_one(tmp_path: Path) -> None:
    settings = [("a", "none"), ("a", "dino"), ("seq_jepa_baseline", "none"), ("z", "none")]
    for arm, aux in settings:
        own = {"aux": aux, "sweep.control": None}
        make_run(tmp_path / aux, arm, 0, settings=own, run_id=f"{arm}-{aux}")
    assert ranked(tmp_path).control == "seq_jepa_baseline"


def test_the_control_is_else_the_only_arm_without_an_auxiliary_loss(tmp_path: Path) -> None:
    for arm, aux in {"a": "dino", "b": "vicreg", "c": "none"}.items():
        make_run(tmp_path, arm, 0, settings={"aux": aux, "sweep.control": None})
    assert (ranked(tmp_path).control, ranked(tmp_path).notes) == ("c", [])


def test_the_name_of_an_arm_has_no_options_of_losses_that_it_lacks(tmp_path: Path) -> None:
    for name, weight in (("vicreg", 0.1), ("vicreg", 1.0), ("dino", 0.1), ("none", 0.0)):
        own, run_id = {"aux": arm_of(name, weight)}, f"{name}-{weight}"
        make_run(tmp_path / run_id, "one", 0, settings=own, run_id=run_id)
    ranking = ranked(tmp_path)
    tried = {"aux=vicreg aux.vicreg.weight=0.1", "aux=vicreg aux.vicreg.weight=1.0"}
    assert {one.name for one in ranking.arms} == {*tried, "aux=dino", "aux=none"}
    assert ranking.control == "aux=none"


def test_one_of_several_default_controls_is_used_with_a_note(tmp_path: Path) -> None:
    for rate in (0.1, 0.2):
        for aux in ("none", "vicreg"):
            own = {"aux": aux, "loss.lambda_rate": rate}
            make_run(tmp_path / f"{rate}{aux}", "one", 0, settings=own, run_id=f"{rate}-{aux}")
    ranking = ranked(tmp_path)
    assert ranking.control == "aux=none loss.lambda_rate=0.1"
    assert ranking.notes == [
        f"2 arms are without an auxiliary loss: {ranking.control} is the control; --control names"
        " another"
    ]


def test_the_first_arm_is_the_control_if_there_is_no_default_one(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path, "a", seed)
        make_run(tmp_path, "b", seed)
    ranking = ranked(tmp_path)
    assert ranking.control == "a"
    assert ranking.notes == [
        "no control was named: a, the first arm, is used; --control names another"
    ]


# runs that cannot be compared


def test_arms_without_a_shared_seed_are_an_error_with_the_seeds(tmp_path: Path) -> None:
    make_run(tmp_path, "seq_jepa_baseline", 0)
    make_run(tmp_path, "a", 1)
    with pytest.raises(
        UserError, match="no comparable seed: the control seq_jepa_baseline has 0, the other arms 1"
    ):
        ranked(tmp_path)


def test_no_completed_run_is_an_error_with_the_states(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0, None, state="failed")
    make_run(tmp_path, "b", 0, None, state="killed")
    with pytest.raises(UserError, match=r"no completed run has a finite .* \(1 failed, 1 killed\)"):
        ranked(tmp_path)


def test_the_default_metric_is_on_test_and_then_on_validation(tmp_path: Path) -> None:
    tested = make_run(tmp_path / "t", "a", 0)
    validated = make_run(tmp_path / "v", "a", 0, None)
    assert choose_metric(find_runs(tmp_path).runs, None) == METRIC
    assert choose_metric(find_runs(validated).runs, None) == "val/probe/class_from_z_agg"
    assert choose_metric(find_runs(tested).runs, "train/loss/total") == "train/loss/total"
    with pytest.raises(
        UserError, match=r"--metric test/probe/clas_from_z_agg: .* did you mean 'test/probe/class_"
    ):
        choose_metric(find_runs(tested).runs, "test/probe/clas_from_z_agg")


def test_losses_and_errors_are_better_low() -> None:
    low = ("val/loss/prediction", "test/z_agg/invariance_error", "val/z_agg/within_share")
    assert [direction_of(key) for key in (METRIC, "test/skill", *low)] == [
        "max",
        "max",
        "min",
        "min",
        "min",
    ]


@pytest.mark.parametrize(
    "key", ["val/z/effective_rank", "test/z_agg/feature_std", "test/probe/view_from_z_agg"]
)
def test_a_rank_or_a_scale_has_no_default_direction(key: str) -> None:
    with pytest.raises(
        UserError,
        match=f"--metric {key}: neither high nor low is better by itself; add --direction",
    ):
        direction_of(key)


def test_eight_seeds_are_enough_for_six_comparisons_and_not_for_seven() -> None:
    assert [seeds_for(n) for n in (1, 6, 7, 12, 13)] == [6, 8, 9, 9, 10]


def test_too_many_arms_for_the_seeds_report_the_number_of_seeds_needed(tmp_path: Path) -> None:
    for arm in ("seq_jepa_baseline", *(f"arm{i}" for i in range(7))):
        for seed in range(8):
            make_run(
                tmp_path,
                arm,
                seed,
                0.5 + 0.01 * seed + 0.1 * (arm != "seq_jepa_baseline"),
                steps=(0, 10),
            )
    lines = verdict_lines(ranked(tmp_path))
    assert lines[2].startswith(
        "With 8 seeds and 7 comparisons p cannot go below 0.055: no difference"
    )
    assert lines[2].endswith("9 seeds can.")


def test_the_verdict_lists_incomplete_runs_and_missing_seeds(tmp_path: Path) -> None:
    two_arms(tmp_path, 3)
    make_run(tmp_path, "other", 3, None, state="failed")
    make_run(tmp_path, "seq_jepa_baseline", 4, None, state="stopped")
    text = " ".join(verdict_lines(ranked(tmp_path)))
    assert "2 runs did not complete and are left out: " in text
    assert "other seed 3 failed" in text
    assert "seq_jepa_baseline seed 4 stopped" in text
    assert "Without a run: other seed 4; seq_jepa_baseline seed 3." in text
