"""Runs of an investigation are ordinary runs of a changed config.yaml: they are trained, reused,
resumed and stopped at a limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from jepa_lab.errors import UserError
from jepa_lab.process.stop import StopRequest
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.investigation.runs import (
    InvestigationRuns,
    Limits,
    OutOfBudget,
    ordinary_run,
)
from jepa_lab.studies.arc.investigation.state import Intervention
from jepa_lab.studies.run import train


def freely() -> None:
    """Allows every run."""


def never() -> None:
    raise OutOfBudget("no run is left")


@pytest.fixture
def base(make_arc: Callable[..., ArcConfig]) -> tuple[Path, dict[str, Any]]:
    """The folder of a real run and its config.yaml."""
    folder = train(make_arc(), brief=True).run_dir
    return folder, yaml.safe_load((folder / "config.yaml").read_text())


def test_a_changed_configuration_is_trained_once_and_then_reused(
    base: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config = base
    capsys.readouterr()
    runs = InvestigationRuns(config, folder, Limits(max_runs=1), say=lambda line: None)
    trial = Intervention("low_lr", "O1", "is the learning rate too high?", {"optim.lr": 1e-4})
    result = runs.of(trial)
    (run,) = result.runs
    assert capsys.readouterr().out == ""  # what a run prints goes to stderr
    assert run.path.parent == folder.parent.parent / "arc_jepa_low_lr"
    assert yaml.safe_load((run.path / "config.yaml").read_text())["optim"]["lr"] == 1e-4
    assert (run.state, run.reused) == ("completed", False)
    assert run.verdict.figures["primary"] > 0
    assert runs.of(trial).runs[0].reused
    with pytest.raises(OutOfBudget, match="--max-runs 1"):
        runs.of(Intervention("fresh", "O1", "?", {"optim.lr": 2e-4}))
    assert not (folder.parent.parent / "arc_jepa_fresh").exists()


def test_a_time_limit_stops_within_a_run_and_the_next_call_resumes_it(
    base: tuple[Path, dict[str, Any]],
) -> None:
    _, config = base
    changed = {**config, "name": "stopped_in_the_middle", "max_wall_s": 1e-6}
    ended = ordinary_run(changed, StopRequest(), freely)
    assert (ended.state, ended.reused) == ("stopped", False)
    assert "max_wall_s" in str(ended.reason)
    again = ordinary_run({**changed, "max_wall_s": None}, StopRequest(), freely)
    assert (again.path, again.state) == (ended.path, "completed")


def test_a_run_that_failed_by_itself_is_not_repeated(base: tuple[Path, dict[str, Any]]) -> None:
    _, config = base
    broken = {**config, "name": "broken", "optim": {**config["optim"], "lr": 1e30, "warmup": 0.0}}
    ended = ordinary_run(broken, StopRequest(), freely)
    assert ended.state == "failed"
    again = ordinary_run(broken, StopRequest(), never)
    assert (again.path, again.state, again.reused) == (ended.path, "failed", True)
    assert again.reason == ended.reason


def test_a_run_that_ended_with_an_exception_is_repeated(base: tuple[Path, dict[str, Any]]) -> None:
    _, config = base
    ended = ordinary_run({**config, "name": "again"}, StopRequest(), freely)
    (ended.path / "summary.json").unlink()  # as after an exception, which leaves none
    status = json.loads((ended.path / "status.json").read_text())
    (ended.path / "status.json").write_text(json.dumps({**status, "state": "failed"}))
    assert ordinary_run({**config, "name": "again"}, StopRequest(), freely).state == "completed"


def test_an_invalid_configuration_is_rejected_with_its_key(
    base: tuple[Path, dict[str, Any]],
) -> None:
    _, config = base
    with pytest.raises(UserError, match=r"optim\.lr"):
        ordinary_run({**config, "optim": {**config["optim"], "lr": -1.0}}, StopRequest(), freely)
