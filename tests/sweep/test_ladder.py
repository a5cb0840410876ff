"""tier=ladder runs smoke, quick and baseline as ordinary runs, up to the first whose gates fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lab import check as check_command
from jepa_lab.cli import app as cli

SMALL = [
    "+experiment=teacherless_b",
    "tier=ladder",
    "dataset.epochs=1",
    "dataset.train_size=128",
    "dataset.val_size=64",
    "encoder.widths=[4,8]",
    "hardware.threads=1",
    "model.action_dim=8",
    "model.depth=1",
    "model.hidden=16",
    "probes.hidden=16",
    "gates.class_from_z_agg_min=null",
    "gates.action_from_z_min=null",
    "gates.z_effective_rank_min=null",
    "gates.z_agg_effective_rank_min=null",
]
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(command: Callable[..., tuple[int, str, str]]) -> Command:
    def run(*overrides: str, main: Callable[[list[str]], None] = cli.main) -> tuple[int, str]:
        code, out, err = command(*SMALL, *overrides, main=main)
        return code, out + err

    return run


def tiers(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.glob("runs/*/*/config.yaml"):
        text = path.read_text()
        name = next(t for t in ("smoke", "quick", "baseline") if f"tier:\n  name: {t}" in text)
        found[name] = json.loads((path.parent / "status.json").read_text())["state"]
    return found


def test_a_ladder_runs_all_rungs_whose_gates_pass_and_skips_them_later(
    command: Command, tmp_path: Path
) -> None:
    code, text = command("gates.strict=true")
    assert code == 0
    assert [text.index(f"ladder: tier={t}") for t in ("smoke", "quick", "baseline")] == sorted(
        text.index(f"ladder: tier={t}") for t in ("smoke", "quick", "baseline")
    )
    assert tiers(tmp_path) == {"smoke": "completed", "quick": "completed", "baseline": "completed"}
    assert command()[1].count("finished before, nothing to do") == 3


def test_a_ladder_stops_at_the_first_failed_gate(command: Command, tmp_path: Path) -> None:
    failing = ["+dataset.tiers.quick.gates.skill_min=0.999", "gates.skill_min=${gate:skill_min}"]
    code, text = command(*failing)
    assert code == 0
    assert "ladder: stopped at tier=quick, whose gates failed" in text
    assert tiers(tmp_path) == {"smoke": "completed", "quick": "completed"}
    assert command(*failing, "gates.strict=true")[0] == 3


def test_a_tier_that_the_data_set_lacks_is_refused_before_the_first_rung(
    command: Command, tmp_path: Path
) -> None:
    code, text = command("~dataset.tiers.baseline")
    assert code == 2
    assert "tier=baseline: dataset=digits_rot has" in text
    assert tiers(tmp_path) == {}


def test_in_a_sweep_every_job_is_a_ladder(command: Command, tmp_path: Path) -> None:
    code, text = command("-m", "seed=0,1")
    assert code == 0
    assert text.count("ladder: tier=baseline") == 2
    assert "2 jobs: 2 done" in text
    code, text = command("seed=0,1", main=check_command.main)
    assert code == 0
    assert "2 jobs: 2 done" in text
