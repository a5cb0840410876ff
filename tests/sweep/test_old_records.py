"""The start of a sweep removes the records of an earlier start, and no other file."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from jepa_lab.ledger.sweep_folder import Record, read_records
from jepa_lab.sweep.orders import SweepControl
from jepa_lab.sweep.records import SweepStart, begin_sweep

OTHERS = ("train.sbatch", "7.json", "0001.json.bak", ".notes.tmp", "more/0001.json")


def start(folder: Path, sweeper: str) -> None:
    sweep = {"sweep": {"dir": str(folder)}, "sweeper": {"_target_": sweeper}}
    if sweeper == "another.Sweeper":
        SweepStart().on_multirun_start(OmegaConf.create({"hydra": sweep}))
    else:
        begin_sweep(OmegaConf.create({"hydra": sweep}))


def with_records(folder: Path) -> None:
    for job in (1, 12345):
        Record(job, ["seed=0"], "done", folder=folder / "jobs").write()
    control = SweepControl.create(folder, 0.0)
    control.stop("Ctrl-C")
    (folder / "jobs" / ".0001.json.12-ab34cd56.tmp").write_text("half")


@pytest.mark.parametrize("sweeper", ["ours", "another.Sweeper"])
def test_a_sweep_starts_without_the_records_of_an_earlier_start(
    sweeper: str, tmp_path: Path
) -> None:
    with_records(tmp_path)
    assert len(read_records(tmp_path)) == 2
    start(tmp_path, sweeper)
    assert not (tmp_path / "jobs").exists()
    start(tmp_path, sweeper)


@pytest.mark.parametrize("sweeper", ["ours", "another.Sweeper"])
def test_files_of_someone_else_in_the_folder_of_a_sweep_stay(sweeper: str, tmp_path: Path) -> None:
    with_records(tmp_path)
    for name in OTHERS:
        (tmp_path / "jobs" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "jobs" / name).write_text("mine")
    start(tmp_path, sweeper)
    left = (p for p in (tmp_path / "jobs").rglob("*") if p.is_file())
    assert {str(p.relative_to(tmp_path / "jobs")) for p in left} == set(OTHERS)
