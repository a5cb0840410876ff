"""Claims judged from folders of runs: every verdict, and the handling of missing and bad runs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from claim_files import against, claim, six_seeds, verdict, verdicts
from comparison_runs import METRIC, make_run
from jepa_lab.claims.text import evidence
from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return six_seeds(tmp_path_factory.mktemp("runs"))


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
def test_each_verdict_follows_from_the_runs_that_imply_it(
    tmp_path: Path, runs: list[Run], changes: dict[str, Any], word: str
) -> None:
    assert verdict(tmp_path, runs, **changes).word == word


def test_the_evidence_has_effect_interval_pairs_and_the_claimed_bound(
    tmp_path: Path, runs: list[Run]
) -> None:
    text = evidence(verdict(tmp_path, runs, margin=0.01))
    assert text.startswith("class z_agg on test +0.1000 [+0.09")
    assert "6 pairs; claimed above 0.01; p by Holm < .001" in text
    assert "would have been found with power .8" in evidence(
        verdict(tmp_path, runs, contrast=against("same"))
    )
    assert "collapsed" not in text


def test_collapsed_runs_count_unchanged_and_are_reported(tmp_path: Path, runs: list[Run]) -> None:
    collapsed = [Run(run.path / "no_ledger", run.config, run.status, run.summary) for run in runs]
    found = verdict(tmp_path, collapsed, contrast=against("worse"))
    assert found.collapsed == {"arm": 6, "control": 0}
    assert found.difference is not None
    assert found.difference.n == 6
    assert evidence(found).endswith("collapsed: 6 of the arm's runs")


def test_a_claim_with_missing_pairs_is_not_testable(tmp_path: Path, runs: list[Run]) -> None:
    found = verdict(tmp_path, runs, seeds="range(0,8)")
    assert (found.word, found.reason) == ("not testable", "not yet: 2 of 8 pairs missing")
    assert found.missing == (("arm", 6), ("arm", 7), ("control", 6), ("control", 7))


def test_a_failed_run_is_missing_and_named_in_the_reason(tmp_path: Path, runs: list[Run]) -> None:
    (tmp_path / "runs").mkdir()
    others = [
        make_run(tmp_path / "runs", "better", 6, None, state=state, run_id=state)
        for state in ("failed",)
    ]
    make_run(tmp_path / "runs", "plain", 6, 0.8)
    found = verdict(tmp_path, [*runs, *map(read_run, others)], seeds="range(0,7)")
    assert found.reason == "not yet: 1 of 7 pairs missing; better/better-6 is failed"


def test_a_diverged_run_needs_a_value_worst_in_the_claim(tmp_path: Path, runs: list[Run]) -> None:
    gone = read_run(make_run(tmp_path, "better", 6, float("nan")))
    more = [*runs, gone, read_run(make_run(tmp_path, "plain", 6, 0.8))]
    found = verdict(tmp_path, more, seeds="range(0,7)")
    assert (
        found.reason
        == "1 of 7 diverged (better/better-6); the key worst sets the value of such runs"
    )
    counted = verdict(tmp_path, more, seeds="range(0,7)", worst=0.0)
    assert counted.values is not None
    assert counted.values["arm"][6] == 0.0
    assert counted.word == "not shown"  # six seeds at +.1 and one at -.8


def test_fewer_than_three_seeds_are_not_judged(tmp_path: Path, runs: list[Run]) -> None:
    found = verdict(tmp_path, runs, seeds=[0, 1])
    assert (found.word, found.reason) == ("not testable", "2 seeds; 3 or more are needed")


def test_p_is_adjusted_over_the_claims_of_a_file_and_can_revoke_a_verdict(
    tmp_path: Path, runs: list[Run]
) -> None:
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


def test_claims_that_are_not_testable_are_not_part_of_the_adjustment(
    tmp_path: Path, runs: list[Run]
) -> None:
    untestable = [
        {"id": f"n{i}", "statement": "s", "source": "s", "not_testable": "no data"}
        for i in range(20)
    ]
    found = verdicts(tmp_path, runs, claim(), *untestable)
    assert found[0].p_holm == found[0].p
    assert {v.word for v in found[1:]} == {"not testable"}


def test_claims_with_missing_runs_count_in_the_adjustment(tmp_path: Path, runs: list[Run]) -> None:
    waiting = [claim(id=f"w{i}", contrast=against("never")) for i in range(9)]
    found = verdicts(tmp_path, runs, claim(contrast=against("same"), margin=0.0057), *waiting)
    assert found[0].p_holm == pytest.approx(10 * (found[0].p or 0))
    assert {(v.word, v.p_holm) for v in found[1:]} == {("not testable", None)}


def test_families_are_adjusted_separately(tmp_path: Path, runs: list[Run]) -> None:
    same = [claim(id=f"same_{i}", contrast=against("same"), family="other") for i in range(6)]
    found = verdicts(
        tmp_path, runs, claim(family="own"), claim(id="second", family="own", margin=0.05), *same
    )
    assert found[0].p is not None
    assert found[1].p is not None
    assert found[0].p_holm == pytest.approx(2 * found[0].p)
    assert found[1].p_holm == pytest.approx(found[1].p)
    assert "p by Holm over 2 claims < .001" in evidence(found[0])
    assert [v.family for v in found] == [2, 2, 6, 6, 6, 6, 6, 6]


def test_a_claim_on_a_logarithm_is_stated_in_factors(tmp_path: Path) -> None:
    runs = []
    for seed in range(4):
        for times in (1.0, 4.0, 16.0 + seed):  # of the bound 2 / 100.25; the last diverges
            config = {
                "study": "linear_byol",
                "name": "toy",
                "seed": seed,
                "lr_pred": times * 2 / 100.25,
                "tau": 0.001,
                "lr_enc_mode": "logspace",
                "sigma_n": 0.5,
                "spectrum_range": [0.1, 100.0],
            }
            last = None if times > 10 else 1.0
            summary = {"metrics": {"val/excess_loss": {"last": last}}, "verdict": {"status": "x"}}
            path = tmp_path / f"{seed}-{times}"
            runs.append(Run(path, config, {"state": "completed", "run_id": path.name}, summary))
    statistic = {"name": "edge_over_bound", "of": {"name": "toy"}}
    common: dict[str, Any] = {
        "contrast": None,
        "metric": None,
        "statistic": statistic,
        "seeds": [0, 1, 2, 3],
    }
    above = verdict(tmp_path, runs, **common, reference=4)
    assert above.difference is not None
    assert above.difference.mean == pytest.approx(
        sum(math.log10(8 * math.sqrt(1 + s / 16) / 4) for s in range(4)) / 4
    )
    assert above.word == "confirmed"
    assert evidence(above).startswith("α at which runs diverge over 2 / H 8.4 [7.")
    assert "claimed above 4" in evidence(above)
    near = verdict(tmp_path, runs, **common, reference=1, test="equivalence", margin=2)
    assert near.word == "refuted"
    assert "claimed within a factor 2 of 1" in evidence(near)
    assert (
        verdict(tmp_path, runs, **common, reference=8, test="equivalence", margin=2).word
        == "confirmed"
    )


def test_a_run_in_both_arm_and_control_makes_the_claim_not_testable(
    tmp_path: Path, runs: list[Run]
) -> None:
    found = verdict(
        tmp_path,
        runs,
        contrast={"arm": {"name": "better"}, "control": {"name": "better"}},
        margin=0.02,
    )
    assert found.word == "not testable"
    assert re.fullmatch(
        r"better/[\w-]+ is in arm and control; name the setting that differs in the contrast",
        found.reason,
    )


@pytest.mark.parametrize(
    ("study", "table"), [("seq_jepa", "metrics.parquet"), ("linear_byol", "linear_byol.parquet")]
)
def test_a_damaged_table_of_metrics_removes_its_pair_and_is_reported(
    study: str, table: str, tmp_path: Path
) -> None:
    made = [
        make_run(tmp_path, name, seed, 0.8) for seed in range(6) for name in ("plain", "better")
    ]
    for path in made:
        (path / "metrics.parquet").unlink(missing_ok=True)
        with (path / "config.yaml").open("a") as file:
            file.write(f"\nstudy: {study}\n")
    (made[0] / table).write_text("no table")
    found = verdict(tmp_path, [read_run(path) for path in made])
    assert found.word == "not testable"
    assert found.reason.startswith("not yet: 1 of 6 pairs missing; plain/")
    assert f"is damaged ({table})" in found.reason


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (
            {"name": "slope_of_best_rate", "metric": METRIC},
            "reads runs with study=linear_byol, and better/",
        ),
        ({"name": "first_to_fall", "part": "codebook"}, "reads runs with study=arc, and better/"),
        (
            {"name": "change", "metric": "val/skil"},
            "metric: val/skil: none of the 6 runs that fit has it",
        ),
    ],
)
def test_a_statistic_of_another_study_or_an_unmeasured_metric_is_an_error(
    tmp_path: Path, runs: list[Run], statistic: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        verdict(
            tmp_path,
            runs,
            contrast=None,
            metric=None,
            statistic={**statistic, "of": {"name": "better"}},
        )
