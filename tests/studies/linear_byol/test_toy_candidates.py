"""An investigation of a run of the toy names the setting that is to blame."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import compose_checked
from jepa_lab.diagnose import main as diagnose
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.read import read_yaml
from jepa_lab.studies.linear_byol import candidates as of_the_toy
from jepa_lab.studies.linear_byol.candidates import candidates
from jepa_lab.studies.run import train


def run_of(folder: Path, *overrides: str) -> Path:
    line = ["+experiment=linear_byol", f"runs_dir={folder}", "figures=false", "epochs=300"]
    line += overrides
    return train(compose_checked(line), command_line=CommandLine(tuple(line))).run_dir


def test_the_planted_fault_is_the_repair_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, "lr_enc=0.3")
    named = [c for c in candidates([], read_yaml(run / "config.yaml")) if "lr_" in c.name]
    monkeypatch.setattr(of_the_toy, "candidates", lambda *_: named)
    diagnose([str(run), "--investigate"])
    found = json.loads((run / "investigation.json").read_text())
    assert found["finished"]
    assert found["recommended"][0].startswith("lr_enc=")
    assert "prevented by" in found["answer"]
    assert "from the start" not in found["answer"]  # there is no other beginning
    assert (run / "investigation.html").stat().st_size > 1000


def test_a_healthy_run_has_nothing_to_explain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnose([str(run_of(tmp_path)), "--investigate"])
    assert "nothing to explain: the verdict is healthy" in capsys.readouterr().out


def test_a_run_of_a_grid_is_investigated_by_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["+experiment=linear_byol", f"runs_dir={tmp_path}", "figures=false", "epochs=300"]
    line += ["seed=null", "seeds=[1,2]", "lr_enc=0.3"]
    train(compose_checked(line), command_line=CommandLine(tuple(line)))
    run = min(path for path in (tmp_path / "linear_byol").iterdir() if "grid" not in path.name)
    change = [c for c in candidates([], read_yaml(run / "config.yaml")) if "lr_enc" in c.name]
    monkeypatch.setattr(of_the_toy, "candidates", lambda *_: change)
    diagnose([str(run), "--investigate"])
    found = json.loads((run / "investigation.json").read_text())
    assert found["recommended"][0].startswith("lr_enc=")
    assert [t["change"] for t in found["trials"]] == [change[0].name, "unchanged"]
    assert str(run) in found["trials"][-1]["runs"]  # the run itself is the first unchanged trial
