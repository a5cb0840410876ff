"""A completed run keeps the weights that later commands read, and no state of its training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lab.callbacks import kept_checkpoints
from jepa_lab.callbacks.checkpoints import read_checkpoint, write_checkpoint
from jepa_lab.callbacks.kept_checkpoints import keep_checkpoints
from jepa_lab.ledger.parquet import history_of
from jepa_lab.process.stop import StopRequest
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation.loading import load_run

Make = Callable[..., Config]
TRAINING = {"optimizer_states", "lr_schedulers", "loops"}


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three checkpoints as Lightning writes them."""
    for number, name in enumerate(("previous", "best", "last")):
        content: dict[str, Any] = {
            "state_dict": {"weight": torch.full((3,), float(number))},
            "global_step": number,
            "epoch": 0,
            "optimizer_states": [torch.zeros(1000)],
            "lr_schedulers": [{}],
            "loops": {},
            "callbacks": {"Saver": {"run_id": "x"}, "OnlineProbes": torch.zeros(1000)},
        }
        write_checkpoint(tmp_path / f"{name}.ckpt", content)
    return tmp_path


@pytest.mark.parametrize(
    ("keep", "names"),
    [("all", ["best", "last", "previous"]), ("weights", ["best", "last"]), ("best", ["best"])],
)
def test_keep_names_the_files_that_stay(folder: Path, keep: str, names: list[str]) -> None:
    keep_checkpoints(folder, keep)
    assert sorted(path.stem for path in folder.iterdir()) == names


def test_weights_and_step_stay_and_the_states_of_training_go(folder: Path) -> None:
    keep_checkpoints(folder, "weights")
    last = read_checkpoint(folder / "last.ckpt")
    assert last["state_dict"]["weight"].tolist() == [2.0] * 3
    assert last["global_step"] == 2
    assert not TRAINING & last.keys()
    assert last["callbacks"] == {"Saver": {"run_id": "x"}}


def test_equal_files_are_read_once_and_stay_equal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(
        kept_checkpoints,
        "read_checkpoint",
        lambda path: read.append(path.name) or read_checkpoint(path),
    )
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    best.write_bytes(last.read_bytes())
    keep_checkpoints(folder, "weights")
    assert read == ["last.ckpt"]
    assert best.read_bytes() == last.read_bytes()
    assert read_checkpoint(best)["state_dict"]["weight"].tolist() == [2.0] * 3
    assert not TRAINING & read_checkpoint(best).keys()


def test_without_best_ckpt_the_last_weights_stay(folder: Path) -> None:
    (folder / "best.ckpt").unlink()
    keep_checkpoints(folder, "best")
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]


def test_reducing_twice_changes_nothing_more(folder: Path) -> None:
    keep_checkpoints(folder, "weights")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    keep_checkpoints(folder, "weights")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_completed_run_keeps_weights_that_evaluate_loads(make_config: Make) -> None:
    run = train(make_config())
    assert files(run.run_dir) == {"last.ckpt", "best.ckpt"}
    for name in ("last", "best"):
        assert not TRAINING & read_checkpoint(run.run_dir / "checkpoints" / f"{name}.ckpt").keys()
    loaded = load_run(run.run_dir).module.state_dict()
    for key, value in run.module.state_dict().items():
        assert torch.equal(loaded[key], value), key


def test_a_stopped_run_keeps_everything_and_resumes(make_config: Make) -> None:
    asked = iter([None] * 3)
    stop = StopRequest(external_reason=lambda: next(asked, "enough"))
    run = train(make_config(), stop=stop)
    assert run.state == "stopped"
    assert read_checkpoint(run.run_dir / "checkpoints" / "last.ckpt").keys() >= TRAINING
    assert train(make_config()).state == "completed"


def test_the_results_of_a_completed_run_are_rebuilt_from_weights_and_metrics(
    make_config: Make,
) -> None:
    run = train(make_config())
    path = run.run_dir / "summary.json"
    before, rows = json.loads(path.read_text()), history_of(run.run_dir)
    path.unlink()
    again = train(make_config())
    after = json.loads(path.read_text())
    assert again.state == "completed"
    assert history_of(run.run_dir) == rows
    for key in ("metrics", "verdict", "gates", "protocol", "parameters"):
        assert after[key] == before[key], key
    assert train(make_config()).state == "skipped"


def test_checkpoints_that_cannot_be_reduced_leave_a_completed_run(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jepa_lab.callbacks.kept_checkpoints.write_checkpoint", full)
    run = train(make_config())
    assert run.state == "completed"
    assert "not reduced to keep=weights" in capsys.readouterr().err
    assert read_checkpoint(run.run_dir / "checkpoints" / "last.ckpt").keys() >= TRAINING
