"""Claims judged from folders of runs: every word is reached, and nothing is mixed, dropped or guessed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from claim_files import claim, write

from comparison_runs import METRIC, make_run
from jepa_lab.claims import Verdict, judge_claims, read_claims
from jepa_lab.claims.text import evidence
from jepa_lab.errors import UserError
from jepa_lab.report.comparison import Run, read_run

NOISE = (0.000, 0.004, -0.003, 0.002, -0.004, 0.001)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Six seeds each of plain, better (+.1), same (with noise of its own) and worse (-.1)."""
    root = tmp_path_factory.mktemp("runs")
    for seed in range(6):
        make_run(root, "plain", seed, 0.80 + 0.01 * seed)
        make_run(root, "better", seed, 0.90 + 0.01 * seed + NOISE[seed])
        make_run(root, "same", seed, 0.80 + 0.01 * seed + NOISE[-seed])
        make_run(root, "worse", seed, 0.70 + 0.01 * seed + NOISE[seed], verdict="complete_collapse")
    return [read_run(path.parent) for path in sorted(root.glob("*/*/config.yaml"))]


def verdicts(path: Path, runs: list[Run], *claims: dict[str, Any]) -> list[Verdict]:
    return judge_claims(read_claims([write(path / "claims.yaml", *claims)]), runs)


def verdict(path: Path, runs: list[Run], **changes: Any) -> Verdict:
    (found,) = verdicts(path, runs, claim(**changes))
    return found


def against(arm: str) -> dict[str, Any]:
    return {"arm": {"name": arm}, "control": {"name": "plain"}}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"contrast": against("better")}, "confirmed"),
        ({"contrast": against("worse")}, "refuted"),
        ({"contrast": against("same")}, "not shown"),
        ({"contrast": against("worse"), "direction": "below"}, "confirmed"),
        ({"contrast": against("better"), "margin": 0.2}, "refuted"),
        ({"contrast": against("same"), "test": "non_inferiority", "margin": 0.02}, "confirmed"),
        ({"contrast": against("worse"), "test": "non_inferiority", "margin": 0.02}, "refuted"),
        ({"contrast": against("same"), "test": "equivalence", "margin": 0.02}, "confirmed"),
        ({"contrast": against("better"), "test": "equivalence", "margin": 0.02}, "refuted"),
        ({"contrast": {"arm": {"name": "better"}}, "reference": 0.5}, "confirmed"),
        ({"contrast": {"arm": {"name": "better"}}, "reference": 1.0}, "refuted"),
        ({"contrast": against("never")}, "not testable"),
    ],
)
def test_every_word_is_reached_by_the_runs_that_call_for_it(
    tmp_path: Path, runs: list[Run], changes: dict[str, Any], word: str
) -> None:
    assert verdict(tmp_path, runs, **changes).word == word


def test_effect_interval_and_pairs_are_told_with_what_was_claimed(tmp_path: Path, runs: list[Run]) -> None:
    text = evidence(verdict(tmp_path, runs, margin=0.01))
    assert text.startswith("class z_agg on test +0.1000 [+0.09")
    assert "6 pairs; claimed above 0.01; p by Holm < .001" in text
    assert "would have been found with power .8" in evidence(verdict(tmp_path, runs, contrast=against("same")))
    assert "collapsed" not in text


def test_collapsed_runs_count_as_they_are_and_are_told(tmp_path: Path, runs: list[Run]) -> None:
    collapsed = [Run(run.path / "no_ledger", run.config, run.status, run.summary) for run in runs]
    found = verdict(tmp_path, collapsed, contrast=against("worse"))
    assert found.collapsed == {"arm": 6, "control": 0}
    assert found.difference is not None
    assert found.difference.n == 6
    assert evidence(found).endswith("collapsed: 6 of the arm's runs")


def test_a_pair_that_is_missing_leaves_the_claim_not_testable_and_says_how_many(
    tmp_path: Path, runs: list[Run]
) -> None:
    found = verdict(tmp_path, runs, seeds="range(0,8)")
    assert (found.word, found.reason) == ("not testable", "not yet: 2 of 8 pairs missing")
    assert found.missing == (("arm", 6), ("arm", 7), ("control", 6), ("control", 7))


def test_runs_that_failed_were_killed_or_go_on_are_missing_and_named(tmp_path: Path, runs: list[Run]) -> None:
    (tmp_path / "runs").mkdir()
    others = [make_run(tmp_path / "runs", "better", 6, None, state=state, run_id=state) for state in ("failed",)]
    make_run(tmp_path / "runs", "plain", 6, 0.8)
    found = verdict(tmp_path, [*runs, *map(read_run, others)], seeds="range(0,7)")
    assert found.reason == "not yet: 1 of 7 pairs missing; better/better-6 is failed"


def test_a_run_that_diverged_makes_its_pair_not_testable_unless_the_claim_says_what_it_counts_as(
    tmp_path: Path, runs: list[Run]
) -> None:
    gone = read_run(make_run(tmp_path, "better", 6, float("nan")))
    more = [*runs, gone, read_run(make_run(tmp_path, "plain", 6, 0.8))]
    found = verdict(tmp_path, more, seeds="range(0,7)")
    assert found.reason == "1 of 7 diverged (better/better-6); worst: says what such a run counts as"
    counted = verdict(tmp_path, more, seeds="range(0,7)", worst=0.0)
    assert counted.values is not None
    assert counted.values["arm"][6] == 0.0
    assert counted.word == "not shown"  # six seeds at +.1 and one at -.8


def test_fewer_than_three_seeds_are_not_judged(tmp_path: Path, runs: list[Run]) -> None:
    found = verdict(tmp_path, runs, seeds=[0, 1])
    assert (found.word, found.reason) == ("not testable", "2 seeds; 3 or more are needed")


def test_p_is_adjusted_over_the_claims_of_the_file_and_takes_words_back(tmp_path: Path, runs: list[Run]) -> None:
    weak = claim(id="weak", contrast=against("same"), margin=0.0057)
    (alone,) = verdicts(tmp_path, runs, weak)
    assert (alone.word, alone.p) == ("refuted", alone.p_holm)
    many = [claim(id=f"same_{i}", contrast=against("same")) for i in range(12)]
    family = verdicts(tmp_path, runs, weak, *many, claim(id="strong"))
    by_id = {found.claim.id: found for found in family}
    assert by_id["weak"].p == alone.p
    assert by_id["weak"].p_holm == pytest.approx(13 * (alone.p or 0))  # after the strong one
    assert by_id["weak"].word == "not shown"
    assert by_id["strong"].word == "confirmed"


def test_what_is_not_testable_takes_no_part_in_the_adjustment(tmp_path: Path, runs: list[Run]) -> None:
    for_no_run = [{"id": f"n{i}", "statement": "s", "source": "s", "not_testable": "no data"} for i in range(20)]
    found = verdicts(tmp_path, runs, claim(), *for_no_run)
    assert found[0].p_holm == found[0].p
    assert {v.word for v in found[1:]} == {"not testable"}


def test_a_claim_whose_runs_are_missing_counts_so_that_no_word_hangs_on_what_was_run(
    tmp_path: Path, runs: list[Run]
) -> None:
    waiting = [claim(id=f"w{i}", contrast=against("never")) for i in range(9)]
    found = verdicts(tmp_path, runs, claim(contrast=against("same"), margin=0.0057), *waiting)
    assert found[0].p_holm == pytest.approx(10 * (found[0].p or 0))
    assert {(v.word, v.p_holm) for v in found[1:]} == {("not testable", None)}


def test_families_are_adjusted_apart_and_the_evidence_tells_over_how_many(tmp_path: Path, runs: list[Run]) -> None:
    same = [claim(id=f"same_{i}", contrast=against("same"), family="other") for i in range(6)]
    found = verdicts(tmp_path, runs, claim(family="own"), claim(id="second", family="own", margin=0.05), *same)
    assert found[0].p is not None
    assert found[1].p is not None
    assert found[0].p_holm == pytest.approx(2 * found[0].p)
    assert found[1].p_holm == pytest.approx(found[1].p)
    assert "p by Holm over 2 claims < .001" in evidence(found[0])
    assert [v.family for v in found] == [2, 2, 6, 6, 6, 6, 6, 6]


def test_runs_are_found_by_their_settings_whatever_their_folder_and_id(tmp_path: Path) -> None:
    runs = []
    for seed in range(3):
        for rate, value in ((0.0, 0.7), (1e-2, 0.9)):
            where = tmp_path / f"folder_{rate}"
            settings = {"loss.lambda_rate": rate, "target.name": "ema", "aux": {"vicreg": {"weight": 2.0}}}
            runs.append(
                read_run(make_run(where, "one_name", seed, value + 0.01 * seed * (1 + rate), settings=settings))
            )
    contrast = {"arm": {"target": "ema", "aux": "vicreg", "loss.lambda_rate": "1e-2"},
                "control": {"aux.vicreg.weight": 2, "loss.lambda_rate": 0}}  # fmt: skip
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).word == "confirmed"


def test_a_run_that_is_older_than_a_setting_has_its_default(tmp_path: Path) -> None:
    runs = [
        read_run(make_run(tmp_path, name, seed, value + 0.001 * seed**2))
        for seed in range(3)
        for name, value in (("old", 0.9), ("plain", 0.8))
    ]
    contrast = {"arm": {"name": "old", "target.memory": 0.05}, "control": {"name": "plain"}}
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).missing == ()
    contrast["arm"]["target.memory"] = 0.1
    assert len(verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).missing) == 3


def test_runs_of_several_protocols_are_not_mixed_the_difference_is_named(tmp_path: Path, runs: list[Run]) -> None:
    other = read_run(make_run(tmp_path, "better", 0, 0.5, settings={"dataset.name": "cifar10_rot"}, run_id="other"))
    found = verdict(tmp_path, [*runs, other])
    assert found.word == "not testable"
    assert found.reason == "arm: several protocols fit: dataset.name cifar10_rot | digits_rot: name one in where"
    assert verdict(tmp_path, [*runs, other], where={"dataset": "digits_rot"}).word == "confirmed"


def test_seeds_of_another_setting_are_not_pooled_with_the_others_be_it_null_or_a_number(tmp_path: Path) -> None:
    runs = []
    for seed in range(4):
        settings = {"optim.clip": None if seed < 2 else 1.0}
        runs += [read_run(make_run(tmp_path, name, seed, 0.8, settings=settings)) for name in ("a", "b")]
    contrast = {"arm": {"name": "a"}, "control": {"name": "b"}}
    reason = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2, 3]).reason
    assert reason == "arm: several protocols fit: optim.clip 1 | null: name one in where"


def test_two_runs_of_one_seed_that_nothing_tells_apart_are_named(tmp_path: Path, runs: list[Run]) -> None:
    twin = make_run(tmp_path, "better", 0, 0.5, run_id="twin")
    assert "better/better-0 and better/better-0 are both of seed 0" in verdict(tmp_path, [*runs, read_run(twin)]).reason
    copy = make_run(tmp_path / "again", "better", 0, 0.9, run_id="better-0")
    assert verdict(tmp_path, [*runs, read_run(copy)]).word == "confirmed"


def test_arm_and_control_of_different_data_are_not_compared_unless_the_contrast_says_so(tmp_path: Path) -> None:
    runs = []
    for seed in range(3):
        runs.append(read_run(make_run(tmp_path, "a", seed, 0.9 + NOISE[seed], settings={"dataset.epochs": 60})))
        runs.append(read_run(make_run(tmp_path, "b", seed, 0.8, settings={"dataset.epochs": 20})))
    contrast: dict[str, Any] = {"arm": {"name": "a"}, "control": {"name": "b"}}
    found = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2])
    assert found.reason.startswith("different protocols: dataset.epochs is 60 in the arm and 20 in the control")
    contrast["arm"]["dataset.epochs"] = 60
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).word == "confirmed"


def test_versions_of_the_results_are_not_mixed_the_complete_one_is_judged(tmp_path: Path) -> None:
    runs = []
    for version, seeds, value in ((1, range(3), 0.9), (2, range(2), 0.1)):
        for seed in seeds:
            for arm, more in (("a", value + NOISE[seed]), ("b", 0.5)):
                run = read_run(make_run(tmp_path / str(version), arm, seed, more, run_id=f"{arm}{seed}-{version}"))
                run.status["versions"] = {"results_version": version}
                runs.append(run)
    contrast = {"arm": {"name": "a"}, "control": {"name": "b"}}
    found = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2])
    assert (found.word, found.version) == ("confirmed", 1)
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.4, abs=0.01)


def test_settings_that_are_averaged_over_give_one_value_a_seed(tmp_path: Path) -> None:
    runs = []
    for seed in range(3):
        for rate in (0.0, 0.1):
            for schedule, value in (("cosine", 0.8 + rate), ("constant", 0.6)):
                settings = {"loss.lambda_rate": rate, "optim.schedule": schedule}
                run_id = f"{schedule}{rate}{seed}"
                runs.append(
                    read_run(
                        make_run(tmp_path / run_id, "f", seed, value + NOISE[seed], settings=settings, run_id=run_id)
                    )
                )
    contrast = {"arm": {"optim.schedule": "cosine"}, "control": {"optim.schedule": "constant"}}
    found = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2], over=["loss.lambda_rate"])
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.25)
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).reason.startswith("arm: several protocols fit")
    short = [run for run in runs if (run.config["seed"], run.config["loss"]["lambda_rate"]) != (1, 0.1)]
    left = verdict(tmp_path, short, contrast=contrast, seeds=[0, 1, 2], over=["loss.lambda_rate"])
    assert left.reason == "not yet: 1 of 3 pairs missing"  # a mean over fewer settings is no value of that seed


def test_a_metric_that_no_run_has_is_refused_with_the_nearest(tmp_path: Path, runs: list[Run]) -> None:
    with pytest.raises(UserError, match=rf"claims: better_helps: metric: test/probe/class.*nearest: {METRIC}"):
        verdict(tmp_path, runs, metric="test/probe/class_from_zagg")


def test_a_setting_that_does_not_exist_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"claims: better_helps: loss\.lambda: no such setting.*loss\.lambda_rate"):
        verdict(tmp_path, [], where={"loss.lambda": 0.1})


def test_a_claim_on_a_logarithm_is_written_and_told_in_factors(tmp_path: Path) -> None:
    runs = []
    for seed in range(4):
        for times in (1.0, 4.0, 16.0 + seed):  # of the bound 2 / 100.25; the last diverges
            config = {"study": "linear_byol", "name": "toy", "seed": seed, "lr_pred": times * 2 / 100.25, "tau": 0.001,
                      "lr_enc_mode": "logspace", "sigma_n": 0.5, "spectrum_range": [0.1, 100.0]}  # fmt: skip
            last = None if times > 10 else 1.0
            summary = {"metrics": {"val/excess_loss": {"last": last}}, "verdict": {"status": "x"}}
            path = tmp_path / f"{seed}-{times}"
            runs.append(Run(path, config, {"state": "completed", "run_id": path.name}, summary))
    statistic = {"name": "edge_over_bound", "of": {"name": "toy"}}
    common: dict[str, Any] = {"contrast": None, "metric": None, "statistic": statistic, "seeds": [0, 1, 2, 3]}
    above = verdict(tmp_path, runs, **common, reference=4)
    assert above.difference is not None
    assert above.difference.mean == pytest.approx(sum(math.log10(8 * math.sqrt(1 + s / 16) / 4) for s in range(4)) / 4)
    assert above.word == "confirmed"
    assert evidence(above).startswith("α at which runs diverge over 2 / H 8.4 [7.")
    assert "claimed above 4" in evidence(above)
    near = verdict(tmp_path, runs, **common, reference=1, test="equivalence", margin=2)
    assert near.word == "refuted"
    assert "claimed within a factor 2 of 1" in evidence(near)
    assert verdict(tmp_path, runs, **common, reference=8, test="equivalence", margin=2).word == "confirmed"
