import json
import platform
from pathlib import Path

import pytest
import yaml

from comparison_runs import make_run
from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.report.comparison.find_runs import (
    aux_of,
    dataset_of,
    find_runs,
    groups,
    lost_jobs,
    setting,
)


def run(**config: object) -> Run:
    return Run(Path("runs/x"), dict(config), {}, {})


def test_runs_are_found_at_any_depth_without_files_of_reports_or_hydra(tmp_path: Path) -> None:
    first = make_run(tmp_path / "runs", "a", 0)
    deep = make_run(tmp_path / "runs" / "more" / "of", "b", 1)
    for name in (
        "results/trained_models/a/seed0",
        "runs/out/trained_models/a/seed0",
        "runs/.hydra",
    ):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({"name": "a"}))
    assert [found.path for found in find_runs(tmp_path).runs] == [first, deep]
    assert [found.path for found in find_runs(first).runs] == [first]
    assert [
        found.path for found in find_runs(tmp_path, leave_out=tmp_path / "runs" / "more").runs
    ] == [first]


def test_folders_inside_a_run_are_ignored(tmp_path: Path) -> None:
    outer = make_run(tmp_path, "a", 0)
    make_run(outer / "investigation", "b", 0)
    assert [found.path for found in find_runs(tmp_path).runs] == [outer]


def test_a_damaged_run_is_listed_with_the_reason_and_the_others_are_read(tmp_path: Path) -> None:
    make_run(tmp_path, "a", 0)
    damaged = make_run(tmp_path, "b", 0)
    (damaged / "summary.json").write_text('{"metrics": {')
    bare = tmp_path / "c"
    bare.mkdir()
    (bare / "status.json").write_text("{}")
    found = find_runs(tmp_path)
    assert [run.config["name"] for run in found.runs] == ["a"]
    assert found.skipped == [
        (str(damaged), "summary.json is damaged"),
        (str(bare), "no config.yaml"),
    ]


def test_a_status_with_odd_values_does_not_stop_the_others(tmp_path: Path) -> None:
    first = make_run(tmp_path, "a", 0)
    for name, change in (("b", {"run_id": []}), ("c", {"state": "running", "pid": 2**80})):
        path = make_run(tmp_path, name, 0) / "status.json"
        host = {"host": platform.node()}
        path.write_text(json.dumps({**json.loads(path.read_text()), **host, **change}))
    found = find_runs(tmp_path)
    assert found.runs[0].path == first
    assert [run.config["name"] for run in found.runs] == ["a", "c"]
    assert state_of(found.runs[1].status) == "killed"
    assert lost_jobs(tmp_path, found.runs) == []
    assert [reason for _, reason in found.skipped] == ["status.json is damaged: run_id is no text"]


def test_a_folder_without_readable_runs_is_one_line_of_error(tmp_path: Path) -> None:
    empty, other, damaged = tmp_path / "empty", tmp_path / "other", tmp_path / "damaged"
    empty.mkdir()
    other.mkdir()
    (other / "notes.txt").write_text("nothing")
    (make_run(damaged, "a", 0) / "status.json").write_text("[]")
    status = make_run(tmp_path / "folder", "a", 0) / "status.json"
    status.unlink(missing_ok=True)
    status.mkdir()
    messages = {
        tmp_path / "gone": "no such folder",
        empty: "the folder is empty",
        other: "no run in it",
        damaged: "no run can be read; .*status.json is damaged",
        tmp_path / "folder": "no run can be read; .*: status.json: Is a directory",
    }
    for path, message in messages.items():
        with pytest.raises(UserError, match=message) as error:
            find_runs(path)
        assert "\n" not in str(error.value)


def test_a_setting_is_a_dotted_key_a_group_or_one_of_three_names() -> None:
    config = {"name": "b", "target": {"name": "ema", "tau": 0.9}, "dataset": {"name": "digits_rot"}}
    values = {
        "experiment": "b",
        "target": "ema",
        "target.tau": 0.9,
        "dataset": "digits_rot",
        "aux": "none",
    }
    assert {key: setting(config, key) for key in values} == values
    with pytest.raises(KeyError):
        setting(config, "target.tua")


@pytest.mark.parametrize(
    ("aux", "text"),
    [
        (None, "none"),
        ("none", "none"),
        ("vicreg", "vicreg"),
        (["vicreg", "sigreg"], "vicreg+sigreg"),
        ({"vicreg": {"weight": 1.0}, "sigreg": {"weight": 0.1}}, "vicreg+sigreg"),
        ({"name": "dino", "weight": 1.0}, "dino"),
        ({}, "none"),
    ],
)
def test_auxiliary_losses_are_joined_by_plus(aux: object, text: str) -> None:
    assert aux_of({"aux": aux}) == text


def test_user_defined_images_differ_by_path_and_public_ones_do_not() -> None:
    own = [
        {"dataset": {"name": "folder", "source": "folder", "root": root}}
        for root in ("cats", "dogs")
    ]
    assert [dataset_of(config) for config in own] == ["folder cats", "folder dogs"]
    assert (
        dataset_of({"dataset": {"name": "mnist_rot", "source": "mnist", "root": "data"}})
        == "mnist_rot"
    )
    assert dataset_of({"study": "linear_byol"}) == "linear_byol"


def test_runs_of_two_datasets_are_an_error_unless_grouped() -> None:
    digits, cifar = (
        run(name="a", dataset={"name": name}) for name in ("digits_rot", "cifar10_rot")
    )
    with pytest.raises(
        UserError,
        match=r"2 datasets: digits_rot \(2 runs\), cifar10_rot \(1 run\); --group-by dataset",
    ):
        groups([digits, digits, cifar], [])
    assert list(groups([digits, cifar], ["dataset"])) == [
        "dataset=cifar10_rot",
        "dataset=digits_rot",
    ]
    with pytest.raises(UserError, match="experiment=a: runs of 2 datasets"):
        groups([digits, cifar], ["experiment"])


def test_groups_are_sorted_by_value() -> None:
    runs = [run(name="a", dataset={"epochs": epochs}) for epochs in (100, 9, None)]
    names = ["dataset.epochs=null", "dataset.epochs=9", "dataset.epochs=100"]
    assert list(groups(runs, ["dataset.epochs"])) == names


def test_an_unknown_key_is_an_error_with_the_nearest_key() -> None:
    with pytest.raises(
        UserError,
        match=r"--group-by loss.lamda_rate: no run has this setting; did you mean 'loss.lambda_",
    ):
        groups([run(loss={"lambda_rate": 1.0})], ["loss.lamda_rate"])


def test_several_folders_and_links_are_read_and_no_run_twice(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "one", "a", 0), make_run(tmp_path / "two", "b", 0)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "again").symlink_to(first.parent)
    (linked / "other").symlink_to(second)
    (linked / "itself").symlink_to(linked)
    assert {run.path.resolve() for run in find_runs(linked).runs} == {first, second}
    both = find_runs([tmp_path / "one", linked, tmp_path / "two"]).runs
    assert [run.path for run in both] == [first, linked / "other"]


def test_each_of_several_folders_needs_a_run(tmp_path: Path) -> None:
    make_run(tmp_path / "one", "a", 0)
    (tmp_path / "none" / "empty").mkdir(parents=True)
    with pytest.raises(UserError, match="none: no run in it"):
        find_runs([tmp_path / "one", tmp_path / "none"])
