"""Files that are damaged, missing, from another run, or not writable: existing files stay, and the
user gets one clear line."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from conftest import maker
from jepa_lab.errors import RunBusy, UserError
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.parquet import read_metrics
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa import callbacks
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training.run import RunResult
from killed_runs import difference, state_of

Make = Callable[..., Config]
OFTEN = "monitor.save_every_s=0"


@pytest.fixture
def make_config(tmp_path: Path) -> Make:
    """Makes configurations of runs that keep the whole state after their end, to compare it."""
    make = maker(tmp_path)
    return lambda *overrides: make("keep=all", *overrides)


@pytest.fixture
def expected(tmp_path: Path) -> RunResult:
    return train(maker(tmp_path / "uninterrupted")(OFTEN, "keep=all"))


def stopped_at(make_config: Make, step: int) -> Path:
    """Makes a run that stopped in the middle of an epoch, after `step` steps, and returns its
    folder."""
    for _ in range(step):
        result = train(make_config(OFTEN, "max_wall_s=1e-9"))
        assert result.state == "stopped"
    return result.run_dir


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "damage", [cut, empty, flip_a_bit, Path.unlink], ids=["cut", "empty", "one bit", "missing"]
)
def test_a_damaged_last_checkpoint_is_replaced_by_the_previous_with_a_warning(
    damage: Callable[[Path], None],
    make_config: Make,
    expected: RunResult,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = stopped_at(make_config, 3)
    damage(folder / "checkpoints" / "last.ckpt")
    capsys.readouterr()
    result = train(make_config(OFTEN))
    warning = capsys.readouterr().err.splitlines()[0]
    assert "resuming from previous.ckpt" in warning
    assert "last.ckpt is " in warning
    assert result.resumed
    assert difference(state_of(result.run_dir), state_of(expected.run_dir)) is None


def test_two_damaged_checkpoints_are_refused_and_unchanged(make_config: Make) -> None:
    folder = stopped_at(make_config, 2)
    for name in ("last", "previous"):
        cut(folder / "checkpoints" / f"{name}.ckpt")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(
        UserError, match=r"last\.ckpt is damaged .* previous\.ckpt is damaged .*on_existing=restart"
    ):
        train(make_config(OFTEN))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert train(make_config(OFTEN, "on_existing=restart")).state == "completed"


def test_a_checkpoint_of_another_configuration_is_refused(make_config: Make) -> None:
    other = train(make_config("seed=1"))
    folder = stopped_at(make_config, 1)
    shutil.copy(other.run_dir / "checkpoints" / "last.ckpt", folder / "checkpoints" / "last.ckpt")
    with pytest.raises(
        UserError, match=f"a checkpoint of another configuration .run {other.run_dir.name}"
    ):
        train(make_config(OFTEN))


def test_a_ledger_with_fewer_rows_than_its_checkpoint_is_refused(make_config: Make) -> None:
    folder = stopped_at(make_config, 3)
    (folder / "metrics.parquet").unlink()
    with pytest.raises(UserError, match=r"metrics\.parquet.*on_existing=restart"):
        train(make_config(OFTEN))


def test_a_ledger_with_a_flipped_bit_is_refused_and_named(make_config: Make) -> None:
    folder = stopped_at(make_config, 3)
    flip_a_bit(folder / "metrics.parquet")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(
        UserError, match=r"metrics\.parquet: not a readable metrics file .*on_existing=restart"
    ):
        train(make_config(OFTEN))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def fewer_weights(state: dict[str, Any]) -> None:
    state.pop("state_dict")


def other_shape(state: dict[str, Any]) -> None:
    state["state_dict"][next(iter(state["state_dict"]))] = torch.zeros(7)


def other_type(state: dict[str, Any]) -> None:
    name = next(iter(state["state_dict"]))
    state["state_dict"][name] = state["state_dict"][name].double()


def text_for_a_step(state: dict[str, Any]) -> None:
    state["global_step"] = "x"


def another_model(state: dict[str, Any]) -> None:
    state["state_dict"]["more"] = torch.zeros(7)


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


@pytest.mark.parametrize(
    "change", [fewer_weights, other_shape, other_type, text_for_a_step, another_model]
)
def test_a_checkpoint_that_does_not_fit_is_replaced_by_the_previous_or_refused(
    change: Callable[[dict[str, Any]], None], make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped_at(make_config, 2)
    changed(folder / "checkpoints" / "previous.ckpt", change)
    whole = (folder / "checkpoints" / "last.ckpt").read_bytes()
    changed(folder / "checkpoints" / "last.ckpt", change)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=r"last.ckpt is damaged .*previous.ckpt is damaged"):
        train(make_config(OFTEN))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    (folder / "checkpoints" / "previous.ckpt").write_bytes(whole)
    capsys.readouterr()
    assert train(make_config(OFTEN)).resumed
    warning = capsys.readouterr().err.splitlines()[0]
    assert "last.ckpt is damaged (" in warning
    assert "resuming from previous.ckpt" in warning


@pytest.mark.parametrize("kind", ["other", "missing", "empty"])
def test_metrics_that_are_not_the_checkpoints_are_refused_before_anything_is_written(
    kind: str, make_config: Make
) -> None:
    other = train(make_config("seed=1"))
    folder = stopped_at(make_config, 2)
    metrics = folder / "metrics.parquet"
    content = {"other": (other.run_dir / "metrics.parquet").read_bytes(), "empty": b""}
    metrics.unlink() if kind == "missing" else metrics.write_bytes(content[kind])
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=r"metrics\.parquet: .*on_existing=restart"):
        train(make_config(OFTEN))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("kind", ["other", "missing", "cut"])
def test_a_finished_run_without_its_metrics_is_not_reported_as_finished(
    kind: str, make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    other, run = train(make_config("seed=1")).run_dir, train(make_config()).run_dir
    assert train(make_config()).state == "skipped"
    metrics = run / "metrics.parquet"
    if kind == "other":
        shutil.copy(other / "metrics.parquet", metrics)
    else:
        metrics.unlink() if kind == "missing" else cut(metrics)
    capsys.readouterr()
    with pytest.raises(UserError, match=r"metrics\.parquet: .*; on_existing=restart"):
        train(make_config())
    assert "finished before" not in capsys.readouterr().out
    assert train(make_config("on_existing=restart")).state == "completed"


def test_a_lost_or_broken_status_does_not_lose_the_run(
    make_config: Make, expected: RunResult
) -> None:
    folder = stopped_at(make_config, 2)
    (folder / "status.json").write_text("{")
    result = train(make_config(OFTEN))
    assert result.resumed
    assert difference(state_of(result.run_dir), state_of(expected.run_dir)) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"metrics": {}}'])
def test_a_broken_summary_is_rebuilt_from_the_checkpoint(content: str, make_config: Make) -> None:
    first = train(make_config())
    summary = json.loads((first.run_dir / "summary.json").read_text())
    (first.run_dir / "summary.json").write_text(content)
    again = train(make_config())
    assert (again.state, again.resumed) == ("completed", True)
    mended = json.loads((first.run_dir / "summary.json").read_text())
    changing = {"monitor/seconds"}
    assert {k: v for k, v in mended["metrics"].items() if k not in changing} == {
        k: v for k, v in summary["metrics"].items() if k not in changing
    }
    assert mended["verdict"] == summary["verdict"]


def test_two_processes_cannot_train_one_run(make_config: Make) -> None:
    folder = stopped_at(make_config, 1)
    before = (folder / "status.json").read_bytes()
    with (
        lock(RunDir(folder.parents[1], folder.parent.name, folder.name)),
        pytest.raises(RunBusy, match="working on this run"),
    ):
        train(make_config(OFTEN))
    assert (folder / "status.json").read_bytes() == before
    assert train(make_config(OFTEN)).state == "completed"


class At(pl.Callback):
    """Runs an action once, before the batch after `step` optimiser steps."""

    def __init__(self, step: int, action: Callable[[], None]) -> None:
        self.step = step
        self.action: Callable[[], None] | None = action

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and self.action is not None:
            action, self.action = self.action, None
            action()


def during_training(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    make_callbacks = callbacks.build_callbacks
    monkeypatch.setattr(
        callbacks, "build_callbacks", lambda *a: [At(step, action), *make_callbacks(*a)]
    )


@pytest.mark.parametrize(
    "what", ["next.ckpt", "metrics.parquet", "status.json", "summary.json", "report.html"]
)
def test_a_full_disk_ends_the_run_with_one_line_and_intact_files(
    what: str,
    make_config: Make,
    expected: RunResult,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """From the third step on, writing this file fails as on a full disk. Then there is room
    again."""
    write = Path.write_bytes

    def full() -> None:
        def fail(tmp: Path, *args: Any) -> int:
            if what in tmp.name:
                write(tmp, b"half")
                raise OSError(errno.ENOSPC, "No space left on device", str(tmp))
            return write(tmp, *args)

        def fail_table(table: Any, path: Any, **kwargs: Any) -> None:
            fail(Path(path), b"")

        monkeypatch.setattr(Path, "write_bytes", fail)
        if what == "metrics.parquet":
            monkeypatch.setattr("pyarrow.parquet.write_table", fail_table)

    with monkeypatch.context() as patch:
        monkeypatch = patch
        during_training(patch, 3, full)
        with pytest.raises(
            UserError,
            match=rf"cannot write .*{what}.*No space left on device.*command resumes the run",
        ):
            train(make_config(OFTEN))
    (folder,) = (p.parent for p in tmp_path.glob("runs/*/*/config.yaml"))
    assert read_metrics(folder).num_rows > 0
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] >= 3
    assert not list(folder.rglob("*.tmp"))
    if what != "status.json":
        status = json.loads((folder / "status.json").read_text())
        assert status["state"] == "failed"
        assert "No space left" in status["reason"]
    result = train(make_config(OFTEN))
    assert result.resumed
    assert difference(state_of(result.run_dir), state_of(expected.run_dir)) is None


def test_a_removed_folder_ends_the_run_with_one_line(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    during_training(monkeypatch, 3, lambda: shutil.rmtree(tmp_path / "runs"))
    with pytest.raises(UserError, match=r"cannot write .*No such file or directory"):
        train(make_config(OFTEN))


def test_lost_permissions_end_the_run_with_one_line_and_intact_files(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The test makes os.replace fail, since chmod does not stop a superuser, for example in a
    container."""
    import os

    replace = os.replace

    def refuse() -> None:
        def refused(source: Any, target: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(target))

        monkeypatch.setattr(os, "replace", refused)

    during_training(monkeypatch, 3, refuse)
    with pytest.raises(
        UserError, match=r"cannot write .*Permission denied.*give a writable folder"
    ):
        train(make_config(OFTEN))
    monkeypatch.setattr(os, "replace", replace)
    (folder,) = (p.parent for p in tmp_path.glob("runs/*/*/config.yaml"))
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert read_metrics(folder).num_rows > 0
