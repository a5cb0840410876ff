"""The grid of views by views in training and in evaluation, with and without actions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab.cli import app as cli
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config

SMALL = [
    "tier=smoke",
    "dataset.epochs=1",
    "dataset.train_size=128",
    "dataset.val_size=64",
    "encoder.widths=[4,8]",
    "hardware.threads=1",
    "model.action_dim=8",
    "model.depth=1",
    "model.hidden=16",
    "probes.hidden=16",
]


def test_experiment_sweeps_all_cells_and_writes_a_heat_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa_lab"])
    cli.main(["+experiment=views_grid", "dataset.n_views=2,4", *SMALL])
    out = capsys.readouterr().out
    assert "4 jobs: 4 done" in out
    (found,) = tmp_path.glob("runs/sweeps/*/views_grid.json")
    rows = json.loads(found.read_text())["rows"]
    assert {(r["action_conditioning"], r["trained_on"]) for r in rows} == {
        (known, m) for known in (True, False) for m in (1, 3)
    }
    assert all(set(r["accuracy"]) == {"1", "2", "4", "8"} for r in rows)
    assert all(0 <= v <= 1 for r in rows for v in r["accuracy"].values())
    assert (found.parent / "views_grid.png").stat().st_size > 10_000
    assert "hidden   3" in out


def test_model_without_actions_predicts_the_same_for_all_actions(
    make_config: Callable[..., Config],
) -> None:
    for known in (True, False):
        overrides = [
            f"model.action_conditioning={str(known).lower()}",
            "model.dropout=0",
            "dataset.epochs=1",
        ]
        result = train(make_config(*overrides))
        assert result.module is not None
        network = result.module.network.eval()
        z = torch.randn(4, 3, network.encoder.dim)
        one, other = (network.predict(z, torch.randn(4, 3, 2)) for _ in range(2))
        assert torch.equal(one[1], other[1]) is not known
        assert (result.metrics["val/action_gain"] == 0.0) is not known
