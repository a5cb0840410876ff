"""Callbacks that read change nothing, and log the right values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lab.metrics import effective_rank, within_share
from jepa_lab.networks.heads import probe_head
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa import callbacks
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.monitor import measure
from jepa_lab.studies.seq_jepa.probes import seq_jepa_probes
from jepa_lab.training.run import RunResult

Make = Callable[..., Config]


def weights(result: RunResult) -> dict[str, torch.Tensor]:
    assert result.module is not None
    return result.module.state_dict()


@pytest.mark.parametrize(
    "left_out", ["OnlineProbes", "ProbeReferences", "SeqJEPAMonitor", "EpochLines"]
)
def test_removing_a_reading_callback_changes_no_bit_of_the_model(
    left_out: str, make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = make_config("dataset.epochs=1")
    expected = weights(train(config))
    make_callbacks = callbacks.build_callbacks
    monkeypatch.setattr(
        callbacks,
        "build_callbacks",
        lambda *args: [c for c in make_callbacks(*args) if type(c).__name__ != left_out],
    )
    monkeypatch.setattr("jepa_lab.training.trained_study.measured_cost", lambda callbacks: 0.0)
    config.runs_dir = str(tmp_path / "without")
    got = weights(train(config))
    assert all(torch.equal(v, got[k]) for k, v in expected.items())


def test_probes_depend_on_labels_and_on_the_number_of_views() -> None:
    def names(classes: int, m: int) -> set[str]:
        return {p.name for p in seq_jepa_probes(classes, 2, m)}

    assert "class_from_z_agg" in names(10, 3)
    assert not {"class_from_z_agg", "class_from_z"} & names(0, 3)
    assert "relative_action_from_z" not in names(10, 2)
    assert names(0, 1) == {"view_from_z_agg"}


def test_a_probe_does_not_depend_on_scale_and_offset_of_its_features() -> None:
    torch.manual_seed(0)
    one = probe_head(6, 3, hidden=8)
    torch.manual_seed(0)
    two = probe_head(6, 3, hidden=8)
    x = torch.randn(64, 6)
    assert torch.allclose(one(x), two(x * 1000 + 5), atol=1e-3)


def rows(n: int = 80, m: int = 3, d: int = 8) -> dict[str, torch.Tensor]:
    z_agg = torch.randn(n, d + 2)
    return {
        "z": torch.randn(n, m, d),
        "z_agg": z_agg,
        "z_agg_pair": torch.stack([z_agg, z_agg + 0.1 * torch.randn(n, d + 2)], dim=1),
        "z_hat": torch.randn(n, d),
        "z_target": torch.randn(n, d) + 2,
        "loss": torch.full((n,), 0.2),
        "loss_shuffled": torch.full((n,), 0.5),
        "loss_copy": torch.full((n,), 0.9),
    }


def test_the_monitor_logs_gains_skill_ranks_and_shares() -> None:
    data = rows()
    out = measure(data, "val", 10)
    constant = 1 - torch.nn.functional.normalize(data["z_target"].double(), dim=1).mean(0).norm()
    assert out["val/action_gain"] == pytest.approx(0.3, abs=1e-6)
    assert out["val/copy_gain"] == pytest.approx(0.7, abs=1e-6)
    assert out["val/skill"] == pytest.approx(1 - 0.2 / float(constant), rel=1e-4)
    assert out["val/loss/constant"] == pytest.approx(float(constant), rel=1e-6)
    assert out["val/z/effective_rank"] == pytest.approx(
        float(effective_rank(data["z"].flatten(0, 1)))
    )
    assert (out["val/z/n"], out["val/z/d"], out["val/z_agg/n"]) == (240, 8, 80)
    assert out["val/z_agg/within_share"] == pytest.approx(float(within_share(data["z_agg_pair"])))
    assert "reference/n_classes" not in out


def test_a_tap_that_is_not_finite_has_a_nan_rank_and_the_others_are_measured() -> None:
    data = rows()
    data["z_agg"] = torch.full_like(data["z_agg"], math.nan)
    out = measure(data, "val", 10)
    assert math.isnan(out["val/z_agg/effective_rank"])
    assert math.isfinite(out["val/z/effective_rank"])


def test_the_reference_pass_logs_the_number_of_classes() -> None:
    assert measure(rows(), "reference", 7)["reference/n_classes"] == 7
