"""The selection of runs by their settings; protocols are never mixed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from claim_files import NOISE, claim, six_seeds, verdict, verdicts
from comparison_runs import METRIC, make_run
from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return six_seeds(tmp_path_factory.mktemp("runs"))


def test_runs_are_selected_by_settings_and_not_by_folder_or_id(tmp_path: Path) -> None:
    runs = []
    for seed in range(3):
        for rate, value in ((0.0, 0.7), (1e-2, 0.9)):
            where = tmp_path / f"folder_{rate}"
            settings = {
                "loss.lambda_rate": rate,
                "target.name": "ema",
                "aux": {"vicreg": {"weight": 2.0}},
            }
            runs.append(
                read_run(
                    make_run(
                        where, "one_name", seed, value + 0.01 * seed * (1 + rate), settings=settings
                    )
                )
            )
    contrast = {
        "arm": {"target": "ema", "aux": "vicreg", "loss.lambda_rate": "1e-2"},
        "control": {"aux.vicreg.weight": 2, "loss.lambda_rate": 0},
    }
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).word == "confirmed"


def test_a_run_older_than_a_setting_has_its_default(tmp_path: Path) -> None:
    runs = [
        read_run(make_run(tmp_path, name, seed, value + 0.001 * seed**2))
        for seed in range(3)
        for name, value in (("old", 0.9), ("plain", 0.8))
    ]
    contrast = {"arm": {"name": "old", "target.memory": 0.05}, "control": {"name": "plain"}}
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).missing == ()
    contrast["arm"]["target.memory"] = 0.1
    assert len(verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).missing) == 3


def test_runs_of_several_protocols_are_not_mixed(tmp_path: Path, runs: list[Run]) -> None:
    other = read_run(
        make_run(
            tmp_path, "better", 0, 0.5, settings={"dataset.name": "cifar10_rot"}, run_id="other"
        )
    )
    found = verdict(tmp_path, [*runs, other])
    assert found.word == "not testable"
    assert (
        found.reason
        == "arm: several protocols fit: dataset.name cifar10_rot | digits_rot: name one in where"
    )
    assert verdict(tmp_path, [*runs, other], where={"dataset": "digits_rot"}).word == "confirmed"


def test_seeds_with_different_settings_are_not_pooled(tmp_path: Path) -> None:
    runs = []
    for seed in range(4):
        settings = {"optim.clip": None if seed < 2 else 1.0}
        runs += [
            read_run(make_run(tmp_path, name, seed, 0.8, settings=settings)) for name in ("a", "b")
        ]
    contrast = {"arm": {"name": "a"}, "control": {"name": "b"}}
    reason = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2, 3]).reason
    assert reason == "arm: several protocols fit: optim.clip 1 | null: name one in where"


def test_two_equal_runs_of_one_seed_are_reported_and_a_copy_is_ignored(
    tmp_path: Path, runs: list[Run]
) -> None:
    twin = make_run(tmp_path, "better", 0, 0.5, run_id="twin")
    assert (
        "better/better-0 and better/better-0 both have seed 0"
        in verdict(tmp_path, [*runs, read_run(twin)]).reason
    )
    copy = make_run(tmp_path / "again", "better", 0, 0.9, run_id="better-0")
    assert verdict(tmp_path, [*runs, read_run(copy)]).word == "confirmed"


def test_different_protocols_are_compared_only_if_the_contrast_names_them(tmp_path: Path) -> None:
    runs = []
    for seed in range(3):
        runs.append(
            read_run(
                make_run(tmp_path, "a", seed, 0.9 + NOISE[seed], settings={"dataset.epochs": 60})
            )
        )
        runs.append(read_run(make_run(tmp_path, "b", seed, 0.8, settings={"dataset.epochs": 20})))
    contrast: dict[str, Any] = {"arm": {"name": "a"}, "control": {"name": "b"}}
    found = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2])
    assert found.reason.startswith(
        "different protocols: dataset.epochs is 60 in the arm and 20 in the control"
    )
    contrast["arm"]["dataset.epochs"] = 60
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).word == "confirmed"


def test_versions_are_not_mixed_and_the_most_complete_one_is_judged(tmp_path: Path) -> None:
    runs = []
    for version, seeds, value in ((1, range(3), 0.9), (2, range(2), 0.1)):
        for seed in seeds:
            for arm, more in (("a", value + NOISE[seed]), ("b", 0.5)):
                run = read_run(
                    make_run(
                        tmp_path / str(version), arm, seed, more, run_id=f"{arm}{seed}-{version}"
                    )
                )
                run.status["versions"] = {"results_version": version}
                runs.append(run)
    contrast = {"arm": {"name": "a"}, "control": {"name": "b"}}
    found = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2])
    assert (found.word, found.version) == ("confirmed", 1)
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.4, abs=0.01)


def test_settings_that_are_averaged_have_one_value_for_each_seed(tmp_path: Path) -> None:
    runs = []
    for seed in range(3):
        for rate in (0.0, 0.1):
            for schedule, value in (("cosine", 0.8 + rate), ("constant", 0.6)):
                settings = {"loss.lambda_rate": rate, "optim.schedule": schedule}
                run_id = f"{schedule}{rate}{seed}"
                runs.append(
                    read_run(
                        make_run(
                            tmp_path / run_id,
                            "f",
                            seed,
                            value + NOISE[seed],
                            settings=settings,
                            run_id=run_id,
                        )
                    )
                )
    contrast = {"arm": {"optim.schedule": "cosine"}, "control": {"optim.schedule": "constant"}}
    found = verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2], over=["loss.lambda_rate"])
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(0.25)
    assert verdict(tmp_path, runs, contrast=contrast, seeds=[0, 1, 2]).reason.startswith(
        "arm: several protocols fit"
    )
    short = [
        run for run in runs if (run.config["seed"], run.config["loss"]["lambda_rate"]) != (1, 0.1)
    ]
    left = verdict(tmp_path, short, contrast=contrast, seeds=[0, 1, 2], over=["loss.lambda_rate"])
    # a mean over fewer settings does not count as the value of the seed
    assert left.reason == "not yet: 1 of 3 pairs missing"


def test_an_unmeasured_metric_is_an_error_with_the_nearest_metric(
    tmp_path: Path, runs: list[Run]
) -> None:
    with pytest.raises(
        UserError, match=rf"claims: better_helps: metric: test/probe/class.*did you mean '{METRIC}'"
    ):
        verdict(tmp_path, runs, metric="test/probe/class_from_zagg")


@pytest.mark.parametrize(
    ("key", "near"),
    [("loss.lambda", "loss.lambda_rate"), ("aux.vicreg.sim_coef", "aux.vicreg.sim_coeff")],
)
def test_an_unknown_setting_is_an_error_with_the_nearest_setting(
    tmp_path: Path, key: str, near: str
) -> None:
    with pytest.raises(
        UserError,
        match=rf"claims: better_helps: {re.escape(key)}: no such setting.*{re.escape(near)}",
    ):
        verdict(tmp_path, [], where={key: 0.1})


def test_keys_of_a_user_defined_loss_are_valid_before_a_run_has_them(tmp_path: Path) -> None:
    runs = "-m +experiment=better aux=mine"
    (found,) = verdicts(tmp_path, [], claim(where={"aux.mine.sharpness": 2.0}, runs=runs))
    assert found.reason.startswith("not yet: ")
    for key in ("aux.mne.sharpness", "aux.mine", "aux.none.weight"):
        with pytest.raises(UserError, match=f"better_helps: {re.escape(key)}: no such setting"):
            verdicts(tmp_path, [], claim(where={key: 2.0}, runs=runs))
