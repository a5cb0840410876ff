"""A run that is stopped by a limit or a signal leaves a checkpoint and its state, and is resumed
from there."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab.process.stop import StopRequest
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from killed_runs import OVERRIDES, difference, finish, start, state_of

Make = Callable[..., Config]


def status_in(folder: Path) -> dict[str, object]:
    (path,) = folder.rglob("status.json")
    return dict(json.loads(path.read_text()))


def test_a_run_stopped_by_a_time_limit_ends_with_the_same_bits(
    make_config: Make, tmp_path: Path
) -> None:
    import conftest

    line = ("optim.accumulate=2", "keep=all")
    expected = train(conftest.maker(tmp_path / "uninterrupted")(*line))
    sessions = []
    while not sessions or sessions[-1].state == "stopped":
        sessions.append(train(make_config(*line, "max_wall_s=1e-9")))
        assert len(sessions) < 20
    assert [s.state for s in sessions[:-1]] == ["stopped"] * (len(sessions) - 1)
    assert len(sessions) >= 3  # each session has one step or one validation
    assert sessions[0].reason == "max_wall_s=1e-09 reached"
    assert sessions[-1].state == "completed"
    assert difference(state_of(sessions[-1].run_dir), state_of(expected.run_dir)) is None


def test_the_csv_file_of_a_resumed_run_has_the_rows_of_all_sessions(
    make_config: Make, tmp_path: Path
) -> None:
    def rows(run_dir: Path) -> list[dict[str, str]]:
        with open(run_dir / "csv" / "metrics.csv", newline="") as file:
            return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]

    import conftest

    expected = train(conftest.maker(tmp_path / "uninterrupted")("logger=csv"))
    session = train(make_config("logger=csv", "max_wall_s=1e-9"))
    for _ in range(20):
        if session.state != "stopped":
            break
        session = train(make_config("logger=csv", "max_wall_s=1e-9"))
    assert session.state == "completed"
    found, known = rows(session.run_dir), rows(expected.run_dir)
    assert [r["step"] for r in found] == [r["step"] for r in known]
    assert [set(r) for r in found] == [set(r) for r in known]
    same = [
        float(a[k]) == pytest.approx(float(b[k]), nan_ok=True)
        for a, b in zip(found, known, strict=True)
        for k in a
        if "time" not in k and "seconds" not in k and "per_s" not in k
    ]
    assert all(same)


def test_a_time_limit_is_not_part_of_the_run_id(make_config: Make) -> None:
    stopped = train(make_config("max_wall_s=1e-9"))
    assert stopped.state == "stopped"
    completed = train(make_config("max_wall_s=600"))
    assert (completed.state, completed.resumed, completed.run_dir) == (
        "completed",
        True,
        stopped.run_dir,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_stopped_by_a_signal_ends_with_the_same_bits(
    number: signal.Signals, tmp_path: Path
) -> None:
    longer = [*OVERRIDES, "dataset.epochs=12", "monitor.every_epochs=4"]
    process = start(tmp_path / "stopped", longer)
    assert process.pid is not None
    for _ in range(600):
        time.sleep(0.05)
        if list((tmp_path / "stopped").rglob("last.ckpt")):
            break
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 0
    assert status_in(tmp_path / "stopped")["state"] == "stopped"
    assert number.name in str(status_in(tmp_path / "stopped")["reason"])
    assert not list((tmp_path / "stopped").rglob("summary.json"))
    resumed, expected = finish(tmp_path / "stopped", longer), finish(tmp_path / "whole", longer)
    assert difference(state_of(resumed), state_of(expected)) is None


def test_a_signal_during_the_pass_before_training_stops_the_run_too(
    make_config: Make, tmp_path: Path
) -> None:
    stop = StopRequest()
    stop.signal = "SIGTERM"
    result = train(make_config(), stop=stop)
    assert (result.state, status_in(tmp_path)["state"]) == ("stopped", "stopped")
    assert train(make_config()).state == "completed"


def test_the_signal_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest().watching():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    stop = StopRequest()
    with stop.watching():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason() == "SIGINT received"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_wall_time_of_a_run_counts_all_its_sessions(make_config: Make) -> None:
    from jepa_lab.ledger.atomic import write_atomic

    first = train(make_config("max_wall_s=1e-9"))
    path = first.run_dir / "checkpoints" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["callbacks"]["Saver"]["wall_s"] += 1000.0
    torch.save(state, path.with_suffix(".new"))
    write_atomic(path, path.with_suffix(".new").read_bytes())
    result = train(make_config())
    assert json.loads((result.run_dir / "summary.json").read_text())["wall_s"] > 1000.0
