"""Runs made by an earlier version of the code are skipped, resumed, reported and diagnosed by this
one.

tests/fixtures/runs_of_results_version_2.zip has four runs: two stopped and two finished ones. Its
folder `whole` has uninterrupted versions of the stopped ones.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT
from jepa_lab import diagnose
from jepa_lab.cli.compose import composed
from jepa_lab.ledger.identity import RESULTS_VERSION
from jepa_lab.ledger.parquet import history_of
from jepa_lab.report.__main__ import main as report
from jepa_lab.studies import find
from jepa_lab.studies.linear_byol.table import history_of as history_of_toy
from jepa_lab.sweep.ladder import checked_rungs

Command = Callable[..., tuple[int, str, str]]
FIXTURES = ROOT / "tests" / "fixtures"
SMALL = "hardware=cpu hardware.threads=1 tier=smoke"
SEQ_JEPA = (
    f"+experiment=seq_jepa_baseline {SMALL} dataset.epochs=4 dataset.train_size=64"
    " dataset.val_size=32 dataset.batch_size=16 encoder.widths=[8] model=seq_jepa_small"
    " model.action_dim=8 model.depth=1 model.heads=2 model.hidden=8 probes.hidden=8"
    " monitor.log_every=2 monitor.save_every_s=0"
)
ARC = (
    f"+experiment=arc_jepa {SMALL} dataset=arc_synthetic dataset.epochs=2 dataset.batch_size=8"
    " dataset.train_tasks=8 dataset.val_tasks=8 dataset.test_tasks=8 model.width=8 model.heads=2"
    " model.depth=1 model.hidden=8 model.projection=8 loss.queue=16 vq.size=8"
)
TOY = "+experiment=linear_byol d_obs=20 d_latent=3 figures=false"


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The folder that contains `runs` and `whole`. `command` runs in it."""
    with zipfile.ZipFile(FIXTURES / f"runs_of_results_version_{RESULTS_VERSION}.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "run"), [(ARC, "arc_jepa/9d97b8314e"), (f"{TOY} epochs=40", "linear_byol/beee797832")]
)
def test_a_finished_run_is_skipped(line: str, run: str, earlier: Path, command: Command) -> None:
    before = (earlier / "runs" / run / "summary.json").read_bytes()
    code, out, _ = command(*line.split())
    assert code == 0
    assert f"finished before, nothing to do: {Path('runs') / run}" in out.replace(f"{earlier}/", "")
    assert (earlier / "runs" / run / "summary.json").read_bytes() == before


def test_a_resumed_run_of_the_seq_jepa_equals_an_uninterrupted_one(
    earlier: Path, command: Command
) -> None:
    place = Path("seq_jepa_baseline/81827313d1")
    before_stop = history_of(earlier / "runs" / place)
    assert command(*SEQ_JEPA.split())[0] == 0
    assert (
        json.loads((earlier / "runs" / place / "status.json").read_text())["state"] == "completed"
    )
    agrees(history_of(earlier / "runs" / place), history_of(earlier / "whole" / place), before_stop)


def test_a_resumed_run_of_the_toy_equals_an_uninterrupted_one(
    earlier: Path, command: Command
) -> None:
    place = Path("linear_byol/70a8f50ba5")
    before_stop = history_of_toy(earlier / "runs" / place)
    assert command(*f"{TOY} epochs=4000 log_every=100".split())[0] == 0
    agrees(
        history_of_toy(earlier / "runs" / place),
        history_of_toy(earlier / "whole" / place),
        before_stop,
    )


def agrees(resumed: dict, whole: dict, before_stop: dict) -> None:
    """Checks that two runs have the same metrics at the same steps.

    Values are equal up to the stop. After it they are close, since another machine may round
    differently.
    """
    assert before_stop
    for key in (key for key in whole if not key.startswith(("monitor/", "time/"))):
        assert [step for step, _ in resumed[key]] == [step for step, _ in whole[key]], key
        values = [value for _, value in resumed[key]]
        before = [value for _, value in before_stop.get(key, [])]
        assert values[: len(before)] == pytest.approx(before, nan_ok=True, rel=0), key
        assert values == pytest.approx(
            [value for _, value in whole[key]], nan_ok=True, rel=0.05, abs=0.02
        ), key
    assert any(len(resumed[key]) > len(points) for key, points in before_stop.items())


@pytest.mark.parametrize(
    "run",
    [
        "arc_jepa/9d97b8314e",
        "linear_byol/beee797832",
        "linear_byol/70a8f50ba5",
        "seq_jepa_baseline/81827313d1",
    ],
)
def test_every_run_is_diagnosed(run: str, earlier: Path, command: Command) -> None:
    code, out, err = command(str(earlier / "runs" / run), main=diagnose.main)
    assert (code, err) == (0, "")
    assert out.startswith("verdict: ")


def test_the_runs_are_compared(earlier: Path, command: Command) -> None:
    assert command("runs/arc_jepa", main=report)[0] == 0
    content = json.loads(
        Path("comparison_results", "experiment_comparison_results.json").read_text()
    )
    summary = json.loads(Path("runs/arc_jepa/9d97b8314e/summary.json").read_text())
    assert "9d97b8314e" in json.dumps(content)
    assert str(summary["metrics"]["test/skill"]["last"]) in json.dumps(content)


PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_run_ids_are_the_stored_ones_of_this_results_version(part: int) -> None:
    """Moving code changes no run id. A change of results raises RESULTS_VERSION."""
    known = json.loads(
        (FIXTURES / f"run_ids_of_results_version_{RESULTS_VERSION}.json").read_text()
    )
    assert len(known) > 80
    lines = list(known)[part::PARTS]
    assert {line: ids_of(line) for line in lines} == {line: known[line] for line in lines}


def ids_of(line: str) -> list:
    """Returns the run id of each rung of a line, for the toy with the number of its runs."""
    ids = []
    for config in checked_rungs(composed(line.split())):
        toy = config.study == "linear_byol"
        plan = find(config.study).planner.plan(config, "" if toy else "data")
        ids.append([plan.home.run_id, len(plan.runs)] if toy else plan.home.run_id)
    return ids
