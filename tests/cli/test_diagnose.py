"""python -m jepa_lab.diagnose on finished, running and killed runs, runs of the toy, feature files
and invalid paths."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from conftest import small_overrides
from gallery_histories import RUNS, Curves
from jepa_lab import diagnose
from jepa_lab.cli.compose import as_data
from jepa_lab.diagnosis.remedies import resolved
from jepa_lab.ledger.command_line import CommandLine, write_command_line
from jepa_lab.ledger.identity import counted_part
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.studies.seq_jepa.config import Config

NO_ACTIONS = "model.action_conditioning=false"
CASES = {case.name: case for case in RUNS}


@pytest.mark.parametrize("paths", [[""], [" "], ["features.npz", ""]])
def test_an_empty_path_is_not_the_current_folder(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    np.savez(tmp_path / "features.npz", z=np.eye(40))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        diagnose.main(paths)
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "jepa_lab: argument PATH: the path is empty\n"


@pytest.fixture
def folder(tmp_path: Path, make_config: Callable[..., Config]) -> Callable[..., Path]:
    """Makes a run's folder from curves and overrides of its configuration. `state` is the state in
    status.json; None writes no status.json."""

    def make(
        curves: Curves, *overrides: str, state: str | None = "completed", pid: int | None = None
    ) -> Path:
        path = tmp_path / "run"
        path.mkdir()
        ledger = ParquetLedger(path / "metrics.parquet")
        for key, points in curves.items():
            for step, value in points:
                ledger.append(step, 0, {key: value})
        ledger.flush(force=True)
        (path / "config.yaml").write_text(make_config(*overrides).to_yaml())
        write_command_line(path, CommandLine(tuple(small_overrides(tmp_path, *overrides))))
        if state is not None:
            status = {
                "state": state,
                "experiment": "teacherless_b",
                "pid": pid,
                "host": platform.node(),
            }
            (path / "status.json").write_text(json.dumps(status))
        return path

    return make


def diagnosed(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    diagnose.main([str(a) for a in args])
    return capsys.readouterr().out


def test_a_collapsed_run_is_reported_with_step_causes_and_valid_commands(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    curves, _ = CASES["rank of z at 1"].build()
    path = folder(curves, "target=shared", "loss.lambda_rate=0", "optim.lr=0.002")
    text = diagnosed(capsys, path)
    assert text.startswith("verdict: dimensional_collapse of z since step 450")
    assert "target=shared lets the targets become easy to predict" in text
    content = json.loads((path / "diagnosis.json").read_text())
    assert content["verdict"]["status"] == "dimensional_collapse"
    assert content["timeline"][0]["step"] == 450
    assert content["published"]["status"] == "collapsed"
    assert len(content["next"]) >= 2
    *changes, last = content["next"]
    assert last == f"python -m jepa_lab.diagnose {path} --investigate"
    for command in changes:
        overrides = shlex.split(command)[3:]
        config = as_data(overrides)
        assert config is not None, command
        assert config["encoder"]["widths"] == [
            8,
            16,
        ]  # the run's own settings, not the experiment's
    assert as_data(shlex.split(content["next"][0])[3:])["target"]["name"] == "stopgrad"  # type: ignore[index]


def test_a_run_of_an_unknown_experiment_gets_no_commands(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(CASES["rank of z at 1"].build()[0])
    write_command_line(path, CommandLine(("+experiment=of_another_time",)))
    assert json.loads(diagnosed(capsys, path, "--json"))["next"] == []


def test_a_run_without_overrides_yaml_gets_no_commands(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(CASES["rank of z at 1"].build()[0])
    (path / "overrides.yaml").unlink()
    assert json.loads(diagnosed(capsys, path, "--json"))["next"] == []


@pytest.mark.parametrize(
    ("state", "pid", "message"),
    [
        ("running", os.getpid(), "still running"),
        ("running", 2**22 + 1, "was killed"),
        ("stopped", None, "was stopped"),
        ("completed", None, "completed, step 1000"),
        (None, None, "unknown, step 1000"),
    ],
    ids=["running", "killed", "stopped", "completed", "unknown"],
)
def test_a_run_in_any_state_is_judged_and_its_state_is_reported(
    folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    state: str | None,
    pid: int | None,
    message: str,
) -> None:
    text = diagnosed(capsys, folder(CASES["rank grows"].build()[0], state=state, pid=pid))
    assert text.startswith("verdict: healthy")
    assert message in text


def test_published_rules_are_shown_beside_ours(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(CASES["spread gone, rank high"].build()[0])
    first, second, *_ = diagnosed(capsys, path, "--rules", "published").splitlines()
    assert first.startswith("published rules: healthy")  # a rank of 40, all of it noise
    assert second.startswith("ours:            complete_collapse")


def test_a_verdict_without_a_config_names_the_setting_that_would_explain_it(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(CASES["ignored actions"].build()[0])
    (path / "config.yaml").unlink()
    assert "by design where model.action_conditioning=false" in diagnosed(capsys, path)


def test_a_run_is_diagnosed_without_importing_torch(folder: Callable[..., Path]) -> None:
    path = folder(CASES["rank grows"].build()[0])
    code = (
        f"import sys; from jepa_lab import diagnose; diagnose.main([{str(path)!r}]); assert 'torch'"
        " not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def toy(path: Path, **columns: list[float]) -> Path:
    path.mkdir()
    n = len(next(iter(columns.values())))
    table = pa.table({"epoch": list(range(1, n + 1)), **columns, "run_id": ["a"] * n})
    metadata = {b"jepa_lab": json.dumps({"state": "completed"}).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path / "linear_byol.parquet")
    return path


def test_a_run_of_the_toy_is_judged_from_its_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    falling = [1.0 / (1 + i) for i in range(30)]
    path = toy(tmp_path / "toy", excess_loss=falling, erank_encoded=[8.0] * 30, variance=[8.0] * 30)
    assert diagnosed(capsys, path).startswith("verdict: healthy of z: excess_loss 1 at first")
    assert json.loads((path / "diagnosis.json").read_text())["state"] == "completed"


def test_a_quantity_fixed_by_the_design_of_a_run_has_no_healthy_range(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    curves, _ = CASES["one bad batch"].build()
    path = folder(
        {**curves, "val/action_gain": [(s, 0.0) for s, _ in curves["val/skill"]]}, NO_ACTIONS
    )
    rows = {row["name"]: row for row in json.loads(diagnosed(capsys, path, "--json"))["quantities"]}
    assert rows["action gain, share of the loss"]["inside"] is None
    assert rows["skill"]["inside"] is True


@pytest.mark.parametrize(
    "text", ["name: 3", "name: [1]", "seed: abc", "optim: {lr: abc}", "loss: [1]"]
)
def test_an_invalid_config_yaml_does_not_hide_the_verdict(
    text: str, folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    curves, _ = CASES["one bad batch"].build()
    path = folder(curves)
    (path / "config.yaml").write_text(text)
    assert diagnosed(capsys, path).startswith("verdict: healthy")


def test_a_healthy_stopped_run_gets_the_command_that_resumes_it(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    curves, _ = CASES["one bad batch"].build()
    path = folder(curves, "hardware.threads=7", "monitor.gradients_every=9", state="stopped")
    (line,) = json.loads(diagnosed(capsys, path, "--json"))["next"]
    again = as_data([override for override in shlex.split(line) if "=" in override])
    assert again is not None
    config = yaml.safe_load((path / "config.yaml").read_text())
    assert counted_part(again) == counted_part(config)
    config["monitor"] |= {
        "best": "val/skill",
        "every_epochs": 1,
    }  # derived values, as a run writes them
    (path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert json.loads(diagnosed(capsys, path, "--json"))["next"] == [line]


def test_the_remedy_for_a_far_too_high_learning_rate_is_the_usual_one() -> None:
    assert resolved("optim.lr*0.3", {"optim": {"lr": 1e3}}) == ["optim.lr=0.001"]
    assert resolved("optim.lr*0.3", {"optim": {"lr": 1e-3}}) == ["optim.lr=0.0003"]


def test_the_error_for_a_folder_of_runs_names_one_of_them(
    folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(CASES["one bad batch"].build()[0])
    with pytest.raises(SystemExit):
        diagnose.main([str(path.parent)])
    assert (
        f"it is not a run but contains 1 of them; pass one, e.g. {path}" in capsys.readouterr().err
    )


def test_a_closed_pipe_is_no_error(folder: Callable[..., Path]) -> None:
    path = folder(CASES["one bad batch"].build()[0])
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "jepa_lab.diagnose", str(path)],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.stderr == ""


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_features_of_other_code_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(200, 32)), np.array(list("abcd") * 50)
    healthy = diagnosed(capsys, npz(tmp_path / "a.npz", z=z, labels=labels, codes=np.arange(200)))
    assert healthy.startswith("verdict: healthy of z")
    assert "the features do not separate the labels" in healthy
    views = rng.normal(size=(100, 2, 1)) @ rng.normal(size=(1, 32))
    content = json.loads(
        diagnosed(capsys, npz(tmp_path / "b.npz", z=views), "--json", "--rules", "published")
    )
    assert content["verdict"]["status"] == "dimensional_collapse"
    assert content["published"]["status"] == "collapsed"


def test_a_file_with_rows_that_are_not_finite_is_diverged_and_they_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float16)
    z[[7, 90]], z[200, 3] = np.nan, -np.inf
    text = diagnosed(capsys, npz(tmp_path / "a.npz", z=z))
    assert text.startswith("verdict: diverged of z: features are not finite: 3 of 300 rows (2 NaN")
    assert "1 infinite); the other 297 rows alone: healthy" in text


def test_labels_that_are_unknown_or_all_different_are_no_evidence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 64)) * np.arange(1, 65) ** -1.2
    known = np.arange(200) % 2 == 0
    for labels in (np.arange(200), np.full(200, -1), np.full(200, np.nan), np.where(known, 3, -1)):
        text = diagnosed(capsys, npz(tmp_path / "a.npz", z=z, labels=labels))
        assert text.startswith("verdict: low_rank of z")
        assert "nearest-neighbour" not in text


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (np.array(list("abcd")), "classes: a (50), b (50), c (50), d (50)"),
        (np.array([[True], [False]] * 2), "classes: False (100), True (100)"),
        (np.array([2**64 - 1, 5, 6, 7], np.uint64), f"(50), 7 (50), {2**64 - 1} (50)"),
        (
            np.array([-1, 0, 1, np.nan]),
            "classes: 0 (50), 1 (50); 100 rows of -1 or NaN belong to none",
        ),
        (np.array([-2, -3, 10**7, 0]), "classes: -3 (50), -2 (50), 0 (50), 10000000 (50)"),
    ],
)
def test_classes_of_features_are_named_and_counted(
    labels: np.ndarray, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = np.random.default_rng(0).normal(size=(200, 32))
    path = npz(tmp_path / "a.npz", z=z, labels=np.concatenate([labels] * 50))
    assert line in diagnosed(capsys, path)
    content = json.loads(diagnosed(capsys, path, "--json"))
    assert {entry["rows"] for entry in content["classes"]} <= {50, 100}


def test_labels_that_look_like_an_index_are_named_as_unused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    z = np.random.default_rng(0).normal(size=(200, 32))
    text = diagnosed(capsys, npz(tmp_path / "a.npz", z=z, labels=np.arange(200) // 2 * 3 % 299))
    assert "nearest-neighbour" in text
    text = diagnosed(capsys, npz(tmp_path / "a.npz", z=z, labels=np.maximum(np.arange(200), 60)))
    assert "labels are not used: 140 distinct values in 200 rows look like an index" in text
    assert "nearest-neighbour" not in text
    assert "classes:" not in text


def test_other_arrays_in_a_file_are_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    path = npz(tmp_path / "a.npz", z=rng.normal(size=(200, 32)), names=np.array([None] * 200))
    assert diagnosed(capsys, path).startswith("verdict: healthy of z")


RNG = np.random.default_rng(0)
Z = RNG.normal(size=(50, 8))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"names": np.array(["a"] * 50)}, "no array z; it has names"),
        ({"z": Z[0]}, r"z has shape (8,); expected (n, d) or (n, v, d)"),
        ({"z": Z.astype(str)}, "expected floating-point numbers"),
        ({"z": Z, "labels": np.arange(49)}, "labels has shape (49,); expected (50,)"),
        ({"z": Z, "labels": np.eye(5).repeat(10, 0)}, "labels has shape (50, 5); expected (50,)"),
        ({"z": Z, "labels": np.arange(50) / 4}, "labels: 0.25 in row 1 is not whole"),
        ({"z": Z, "labels": np.array(["a", ""] * 25)}, "labels: '' in row 1 is an empty string"),
        ({"z": Z, "labels": np.ones(50, complex)}, "labels hold complex128"),
        ({"z": Z, "labels": np.ones(50, [("a", int)])}, "labels: an array with the fields a"),
        ({"z": Z > 0}, "z holds bool; expected floating-point numbers"),
        ({"z": Z, "codes": Z}, "codes holds float64; expected whole numbers from 0"),
        ({"z": Z, "codes": np.array([-2, 2])}, "codes holds -2; expected indices from 0"),
        (
            {"z": Z, "codes": np.array([0, 10**12])},
            "codes holds 1000000000000; expected indices from 0",
        ),
        ({"z": Z, "codes": np.zeros(0, int)}, "codes has shape (0,)"),
        (
            {"z": Z, "labels": np.array([None] * 50)},
            "labels holds Python objects; expected an array of numbers",
        ),
        ({"z": Z * 1e200}, "whose square float64 cannot hold"),
        ({"z": Z * 1e-200}, "whose square float64 cannot hold"),
    ],
)
def test_an_unsuitable_file_gives_one_line(
    arrays: dict[str, np.ndarray], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = npz(tmp_path / "features.npz", **arrays)
    with pytest.raises(SystemExit) as stopped:
        diagnose.main([str(path)])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith(f"jepa_lab: {path}: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing", None, "no such file or folder"),
        ("folder", b"", "no metrics.parquet"),
        ("text.npz", b"not a zip", "not a readable .npz"),
        ("notes.txt", b"words", "not a readable .npz"),
    ],
)
def test_a_path_that_cannot_be_judged_gives_one_line(
    name: str,
    content: bytes | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        diagnose.main([str(path)])
    error = capsys.readouterr().err
    assert (stopped.value.code, error.count("\n")) == (2, 1)
    assert message in error


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--jason"], "jepa_lab: unrecognized arguments: --jason; did you mean '--json'?\n"),
        (["--seeds", "3"], "jepa_lab: --seeds belongs to --investigate\n"),
        (
            ["--investigate", "--max-runs", "0"],
            "jepa_lab: argument --max-runs: '0': expected a whole number above 0\n",
        ),
    ],
)
def test_a_mistyped_option_gives_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        diagnose.main([str(tmp_path), *args])
    assert (stopped.value.code, capsys.readouterr().err) == (2, message)
