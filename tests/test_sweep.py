"""A multirun through the command line: one folder a job, the same sweep folder for the same line."""

import json
import sys
from pathlib import Path

import pytest

from jepa_lab import cli


def test_a_sweep_runs_every_combination_into_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["jepa_lab"])
    small = ["tier=smoke", "dataset.epochs=1", "dataset.train_size=128", "encoder.widths=[4,8]", "hardware.threads=1"]
    line = ["+experiment=teacherless_b", *small, "-m", "loss.lambda_rate=1e-3,1e-2", "seed=0,1"]
    cli.main(line)
    states = [json.loads(p.read_text()) for p in sorted(tmp_path.glob("runs/teacherless_b/*/status.json"))]
    assert len(states) == len({s["run_id"] for s in states}) == 4
    assert {s["state"] for s in states} == {"completed"}
    assert len(list(tmp_path.glob("runs/sweeps/*/multirun.yaml"))) == 1
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["jepa_lab"])
    cli.main(line)
    assert capsys.readouterr().out.count("finished before") == 4


def test_one_job_of_a_sweep_with_bad_input_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["jepa_lab"])
    small = ["tier=smoke", "dataset.epochs=1", "dataset.train_size=128", "encoder.widths=[4,8]", "hardware.threads=1"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["-m", "+experiment=teacherless_b", *small, "dataset.batch_size=5000,64"])
    assert stop.value.code == 2
    assert "dataset.batch_size=5000: larger than" in capsys.readouterr().err
    assert len(list(tmp_path.glob("runs/teacherless_b/*/summary.json"))) == 1
