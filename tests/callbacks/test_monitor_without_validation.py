"""CollapseMonitor where there is no validation loop, with roles, and where it ends a training."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from jepa_lab.callbacks import CollapseMonitor
from quiet_trainers import quiet_trainer

DATA = DataLoader(
    TensorDataset(torch.randn(256, 8, generator=torch.Generator().manual_seed(0))), batch_size=32
)


class Trained(pl.LightningModule):
    """Returns features from its training step alone. They are one point from `dies` on."""

    def __init__(self, dies: int = 10**9) -> None:
        super().__init__()
        self.layer, self.dies = nn.Linear(8, 8), dies

    def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
        z = batch[0] if self.global_step < self.dies else 1e-4 * batch[0] + 1
        tokens = z[:, None].expand(-1, 4, -1)
        return {"loss": self.layer(z).square().mean(), "code": z, "tokens": tokens, "logits": z}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(module: pl.LightningModule, monitor: CollapseMonitor, epochs: int = 6) -> pl.Trainer:
    trainer = quiet_trainer(monitor, epochs=epochs)
    trainer.fit(module, DATA)
    return trainer


def monitored(**options: Any) -> CollapseMonitor:
    return CollapseMonitor(role={"tokens": "tokens"}, every=8, n=64, **options)


def test_training_batches_are_measured_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = monitored()
    trainer = fit(Trained(), monitor)
    assert monitor.verdict is not None
    assert monitor.verdict.status == "healthy"
    assert set(monitor.verdict.per_tap) == {"code", "tokens"}
    said = capsys.readouterr().err
    assert said.count("no validation loop: the features of training batches are measured") == 1
    assert float(trainer.callback_metrics["train/code/n"]) == 64
    assert len(monitor.monitor.history["train/loss/total"]) == 48


def test_a_collapse_of_training_batches_is_dated(capsys: pytest.CaptureFixture[str]) -> None:
    monitor = monitored()
    fit(Trained(dies=20), monitor)
    assert monitor.verdict is not None
    assert (monitor.verdict.status, monitor.verdict.since_step) == ("complete_collapse", 26)
    assert "to try" in capsys.readouterr().out


def test_a_status_of_stop_on_ends_the_training() -> None:
    monitor = monitored(stop_on=["complete_collapse"])
    trainer = fit(Trained(dies=0), monitor)
    assert trainer.global_step < 48
    assert monitor.monitor.should_stop


def test_three_dimensions_without_a_role_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"features 'tokens' have shape .* say what they are"):
        fit(Trained(), CollapseMonitor(every=8, n=64))


def test_taps_select_what_is_judged() -> None:
    monitor = CollapseMonitor(every=8, n=64, taps=["logits"])
    fit(Trained(), monitor)
    assert monitor.verdict is not None
    assert set(monitor.verdict.per_tap) == {"logits"}


def test_a_tap_that_one_step_lacks_is_no_error() -> None:
    class Sometimes(Trained):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> dict[str, Tensor]:
            found = super().training_step(batch, batch_idx)
            return found if batch_idx % 2 else {"loss": found["loss"]}

    monitor = CollapseMonitor(every=8, n=64, taps=["code"])
    fit(Sometimes(), monitor)
    assert monitor.verdict is not None
    assert monitor.verdict.per_tap == {"code": "healthy"}
