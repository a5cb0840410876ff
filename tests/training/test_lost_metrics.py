"""A run whose metrics were not written does not count as completed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lab.callbacks.checkpoints import Saver, read_checkpoint
from jepa_lab.errors import UserError
from jepa_lab.ledger.logger import ParquetLogger
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.linear_byol.outcome import finish_run
from jepa_lab.studies.linear_byol.resume import plan_toy
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from toy_configs import configure

Make = Callable[..., Config]
KEY = "val/probe/class_from_z_agg"


def drop_from(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Makes the logger write nothing from this epoch on."""
    write = ParquetLogger.log_metrics

    def log_metrics(self: ParquetLogger, metrics: Any, step: int | None = None) -> None:
        if metrics.get("epoch", 0) < epoch:
            write(self, metrics, step)

    monkeypatch.setattr(ParquetLogger, "log_metrics", log_metrics)


def test_a_run_without_metrics_fails_with_one_line(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drop_from(monkeypatch, 0)
    lost = train(make_config("monitor.every_epochs=1"))
    line = f"{KEY} of 0 of 2 validations was written; on_existing=restart trains the run again"
    assert lost.state == "failed"
    assert [text for text in capsys.readouterr().err.splitlines() if line in text]
    status = json.loads((lost.run_dir / "status.json").read_text())
    assert status["state"] == "failed"
    assert line in status["reason"]


def test_a_run_that_lost_some_metrics_fails_until_it_is_restarted(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("monitor.every_epochs=1")
    with monkeypatch.context() as patch:
        drop_from(patch, 1)
        lost = train(config)
    assert lost.state == "failed"
    assert f"{KEY} of 1 of 2 validations" in str(lost.reason)
    again = train(config)  # resumes after the last epoch, whose rows stay lost
    assert (again.state, again.resumed) == ("failed", True)
    restarted = train(dataclasses.replace(config, on_existing="restart"))
    assert restarted.state == "completed"
    assert len(history_of(restarted.run_dir)[KEY]) == 2


def test_a_run_that_an_earlier_version_completed_without_metrics_is_trained_again(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config()
    first = train(config)
    summary = first.run_dir / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "metrics": {}}))
    (first.run_dir / "metrics.parquet").unlink()
    capsys.readouterr()
    second = train(config)
    assert "completed without metrics before, so it is trained again" in capsys.readouterr().err
    assert (second.state, second.resumed) == ("completed", False)
    assert second.metrics[KEY] == first.metrics[KEY]


def test_a_checkpoint_of_an_earlier_version_has_no_count_of_validations() -> None:
    saver = Saver(Path("nowhere"), KEY)
    saver.load_state_dict({"best": 0.5, "best_step": 3, "wall_s": 1.0, "ledger": {}})
    assert saver.measured is None


def test_a_run_of_the_toy_without_rows_is_not_completed(tmp_path: Path) -> None:
    (run,) = plan_toy(configure(f"runs_dir={tmp_path}")).runs
    empty = {name: np.zeros(0) for name in ("epoch", "wall_s", "loss")}
    with pytest.raises(RuntimeError, match="no metrics"):
        finish_run(run, {**empty, "diverged": np.zeros(0, dtype=bool)})
    assert run.dir.status() is None


def test_a_run_of_the_toy_that_lacks_all_metrics_does_not_count_as_finished(tmp_path: Path) -> None:
    config = configure("epochs=4", "figures=false", "eval_size=50", f"runs_dir={tmp_path}")
    first = train(config)
    summary = first.run_dir / "summary.json"
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps({**content, "metrics": {}}))
    assert plan_toy(config).decide() != "skip"
    assert train(config).state == "completed"
    assert json.loads(summary.read_text())["metrics"] == content["metrics"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1"])
def test_a_finished_run_of_the_toy_without_its_table_is_not_reported_as_finished(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure("epochs=4", "figures=false", "eval_size=50", f"runs_dir={tmp_path}")
    table = train(config).run_dir / "linear_byol.parquet"
    assert train(config).state == "skipped"
    table.unlink() if content is None else table.write_bytes(content)
    capsys.readouterr()
    with pytest.raises(UserError, match=r"linear_byol\.parquet: .*; on_existing=restart"):
        train(config)
    assert "finished before" not in capsys.readouterr().out


def test_any_validation_is_better_than_one_that_is_not_finite(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([math.nan, 0.25, math.nan])
    validate = Saver.on_validation_end

    def on_validation_end(saver: Saver, trainer: Any, module: Any) -> None:
        if trainer.state.fn == "fit":
            trainer.callback_metrics[saver.monitor] = torch.tensor(next(values))
        validate(saver, trainer, module)

    monkeypatch.setattr(Saver, "on_validation_end", on_validation_end)
    result = train(make_config("dataset.epochs=3"))
    state = read_checkpoint(result.run_dir / "checkpoints" / "best.ckpt")
    assert state["callbacks"]["Saver"]["best"] == 0.25
