import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jepa_lab.ledger.identity import IGNORED, counted_part, run_id

CONFIG: dict[str, Any] = {
    "seed": 0,
    "name": "teacherless_b",
    "runs_dir": "runs",
    "on_existing": "resume",
    "progress": {"bar": True},
    "expected": {"paper": {}},
    "logger": {"name": "none"},
    "hydra": {"run": {"dir": "."}, "job": {"name": "x"}},
    "loss": {"lambda_rate": 0.001, "rate_target": "z_agg", "betas": [0.9, 0.999]},
    "precision": {"name": "fp32"},
    "monitor": {"log_every": 10, "save_every_s": 60.0},
    "vq": {"size": 128, "window_tokens": 16384},
    "diagnosis": {"on_nan": "stop", "stop_on": []},
    "hardware": {
        "name": "auto",
        "accelerator": "auto",
        "devices": 1,
        "strategy": "auto",
        "workers": 0,
        "threads": 2,
    },
}
DATA = "digits-0123"


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, leaf = path.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[leaf] = value
    return config


@pytest.mark.parametrize("key", IGNORED)
def test_an_ignored_key_does_not_change_the_run(key: str) -> None:
    assert run_id(changed(key, "another"), DATA) == run_id(CONFIG, DATA)
    assert run_id(changed(key, {"deep": 1}), DATA) == run_id(CONFIG, DATA)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("name", "teacherless_c"),
        ("loss.lambda_rate", 0.0010000000000000002),
        ("loss.rate_target", "z"),
        ("loss.betas", [0.999, 0.9]),
        ("precision.name", "bf16"),
        ("hardware.threads", 1),
        ("loss.logger", "x"),
        ("loss.new", None),
    ],
)
def test_a_counted_key_changes_the_run(key: str, value: Any) -> None:
    assert run_id(changed(key, value), DATA) != run_id(CONFIG, DATA)


def test_data_and_version_of_the_maths_change_the_run() -> None:
    assert run_id(CONFIG, "digits-0124") != run_id(CONFIG, DATA)
    assert run_id(CONFIG, DATA, results_version=1) != run_id(CONFIG, DATA, results_version=2)


def test_the_order_of_keys_and_the_spelling_of_a_float_do_not_change_the_run() -> None:
    backwards = {key: CONFIG[key] for key in reversed(CONFIG)}
    assert run_id(backwards, DATA) == run_id(CONFIG, DATA)
    assert run_id(changed("loss.lambda_rate", 1e-3), DATA) == run_id(CONFIG, DATA)
    assert run_id(changed("loss.betas", (0.9, 0.999)), DATA) == run_id(CONFIG, DATA)


def test_the_name_is_ten_hex_digits_and_stable_between_processes() -> None:
    name = run_id(CONFIG, DATA)
    assert len(name) == 10
    assert int(name, 16) >= 0
    code = f"from jepa_lab.ledger.identity import run_id; print(run_id({CONFIG!r}, {DATA!r}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == name


def test_the_name_is_the_same_in_every_commit() -> None:
    assert (
        run_id({"seed": 0, "loss": {"lambda_rate": 0.001}}, "data", results_version=1)
        == "c3dbd069cf"
    )


def test_run_id_does_not_change_the_configuration() -> None:
    before = copy.deepcopy(CONFIG)
    run_id(CONFIG, DATA)
    assert before == CONFIG


def test_the_counted_part_has_only_keys_that_change_results() -> None:
    counted = counted_part(CONFIG)
    assert set(counted) == {
        "seed",
        "name",
        "loss",
        "precision",
        "monitor",
        "vq",
        "diagnosis",
        "hardware",
    }
    assert counted["vq"] == {"size": 128}
    assert counted["hardware"] == {"threads": 2}


def test_paths_count_as_text_and_other_objects_are_refused() -> None:
    assert run_id({"root": Path("a") / "b"}, DATA) == run_id({"root": "a/b"}, DATA)
    with pytest.raises(TypeError):
        run_id({"root": object()}, DATA)
