"""diagnose --bundle: what is in the zip, and that planted secrets are not."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from jepa_lab import __version__, diagnose
from jepa_lab.ledger.parquet import ParquetLedger

Command = Callable[..., tuple[int, str, str]]
KEY, TOKEN, PASSWORD = "9f" * 20, "not-a-known-format", "correct horse"
RUN_FILES = {
    "README.txt",
    "verdict.txt",
    "verdict.json",
    "versions.json",
    "config.yaml",
    "overrides.yaml",
    "status.json",
    "last_metrics.csv",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the folder of a run whose files hold secrets, a home folder and a user's name."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("HOME", "/home/mallory")
    folder = tmp_path / "run7"
    folder.mkdir()
    ledger = ParquetLedger(folder / "metrics.parquet")
    for step in range(0, 400, 4):
        ledger.append(step, 0, {"val/z/effective_rank": 30.0, "val/z/feature_std_l2": 0.6})
    ledger.fold()
    config = {
        "study": "seq_jepa",
        "name": "teacherless_b",
        "runs_dir": "/home/mallory/thesis/runs",
        "logger": {"name": "wandb", "api_key": KEY, "note": f"key {KEY}"},
        "dataset": {"root": "/scratch/mallory/imagenet", "hub_token": TOKEN},
    }
    overrides = {"overrides": ["+experiment=teacherless_b", f"+logger.password={PASSWORD!r}"]}
    status = {
        "state": "failed",
        "reason": f"HF_TOKEN={TOKEN} was refused for mallory@example.org",
        "pid": 31337,
        "host": "gpu-node-7",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "run.log").write_text(KEY)
    return folder


def inside(path: Path) -> dict[str, str]:
    """Returns {name: text} of the files in a zip, without its one folder."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert {name.partition("/")[0] for name in names} == {path.stem}
        return {name.partition("/")[2]: archive.read(name).decode() for name in names}


def test_the_bundle_of_a_run_has_what_a_report_needs_and_no_secret(
    run: Path, command: Command
) -> None:
    code, out, err = command(str(run), "--bundle", main=diagnose.main)
    assert (code, err) == (0, "")
    assert "bundle:  jepa-lab-run7.zip" in out
    files = inside(Path("jepa-lab-run7.zip"))
    assert set(files) == RUN_FILES
    assert files["verdict.txt"].splitlines()[0] == out.splitlines()[0]
    assert json.loads(files["versions.json"])["jepa_lab"] == __version__
    assert yaml.safe_load(files["config.yaml"])["name"] == "teacherless_b"
    assert yaml.safe_load(files["config.yaml"])["runs_dir"] == "~/thesis/runs"
    rows = files["last_metrics.csv"].splitlines()
    assert rows[0] == "key,step,value"
    assert rows.count("val/z/effective_rank,396,30.0") == 1
    assert len(rows) == 1 + 2 * 50
    for name, text in files.items():
        for planted in (KEY, TOKEN, PASSWORD, "mallory", "gpu-node-7", "31337", "/scratch"):
            assert planted not in text, (name, planted)


def test_a_bundle_of_features_has_the_verdict_and_no_features(
    tmp_path: Path, command: Command
) -> None:
    rows = np.random.default_rng(0).normal(size=(100, 8))
    np.savez(tmp_path / "features.npz", z=rows)
    code, _, err = command("features.npz", "--bundle", "mine.zip", main=diagnose.main)
    assert (code, err) == (0, "")
    files = inside(Path("mine.zip"))
    assert set(files) == {"README.txt", "verdict.txt", "verdict.json", "versions.json"}
    assert files["verdict.txt"].startswith("verdict: healthy of z")
    assert sum(len(text) for text in files.values()) < 10_000


def test_a_folder_without_a_run_gives_one_line_and_no_zip(tmp_path: Path, command: Command) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = command("empty", "--bundle", main=diagnose.main)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no metrics.parquet" in err
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--bundle", "mine.tar"], "--bundle mine.tar: the name of a bundle ends in .zip"),
        (["--bundle", "--investigate"], "--bundle and --investigate are two commands"),
        (["--bundle", "nowhere/mine.zip"], "nowhere"),
    ],
)
def test_a_wrong_use_gives_one_line(
    args: list[str], line: str, run: Path, command: Command
) -> None:
    code, _, err = command(str(run), *args, main=diagnose.main)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err
