"""Runs of two processes from their start to their end, and the end of one of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import arc_maker, maker
from jepa_lab.callbacks.checkpoints import read_checkpoint
from jepa_lab.ledger.parquet import history_of
from jepa_lab.process.ranks import ProcessLost
from jepa_lab.studies.run import train
from jepa_lab.training.resume import identity


def test_two_processes_train_the_run_of_one(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    options = ("model.dropout=0", "monitor.log_every=1", "dataset.val_size=65")
    one = maker(folders[0])(*options)
    two = maker(folders[1])(*options, "hardware.devices=2")
    assert identity(one, "") == identity(two, "")
    results = [train(config) for config in (one, two)]
    assert [result.state for result in results] == ["completed", "completed"]
    assert results[0].metrics.keys() == results[1].metrics.keys()
    histories = [history_of(result.run_dir) for result in results]
    # rounding grows: Adam moves a weight by its sign where the gradient is almost 0
    for key, within in (("train/loss/total", 1e-5), ("train/grad_norm", 1e-4)):
        firsts = [history[key][0] for history in histories]
        assert firsts[0] == pytest.approx(firsts[1], rel=within), key
    for key in ("reference/loss/prediction", "reference/z/effective_rank"):
        assert histories[0][key][0] == pytest.approx(histories[1][key][0], rel=1e-5), key
    state = read_checkpoint(results[1].run_dir / "checkpoints" / "last.ckpt")
    assert state["callbacks"]["Saver"]["processes"] == 2


def test_a_run_goes_on_in_one_process_after_one_of_two_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killing = "+callbacks.end={_target_: two_processes.EndOptions, step: 3}"
    config = arc_maker(tmp_path)("monitor.save_every_s=0", killing, "hardware.devices=2")
    with pytest.raises(ProcessLost, match=r"process 1 of 2 was killed \(SIGKILL\)"):
        train(config)
    (status,) = tmp_path.rglob("status.json")
    before = json.loads(status.read_text())
    assert (before["state"], before["reason"][:12]) == ("failed", "ProcessLost:")
    capsys.readouterr()
    result = train(replace(config, hardware=replace(config.hardware, devices=1)))
    assert (result.state, result.resumed) == ("completed", True)
    assert "trained by 1 process from here, by 2 before" in capsys.readouterr().err
    steps = [step for step, _ in history_of(result.run_dir)["train/loss/total"]]
    assert steps == sorted(set(steps))
