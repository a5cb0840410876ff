"""Features of training batches and the target's drift: the numbers are right, and measuring them
does not change training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from jepa_lab.callbacks.logging import TrainingFeatures
from jepa_lab.metrics import effective_rank, feature_std_l2
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config

Make = Callable[..., Config]


def module(z_agg: torch.Tensor, target: bool = True) -> SimpleNamespace:
    online, average = nn.Linear(1, 2, bias=False), nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        online.weight.copy_(torch.tensor([[3.0], [4.0]]))
        average.weight.copy_(torch.tensor([[3.0], [5.0]]))
    reps = SimpleNamespace(z=torch.randn(len(z_agg), 3, 5), z_agg=z_agg)
    return SimpleNamespace(
        representations=reps,
        network=SimpleNamespace(encoder=online),
        target_encoder=average if target else None,
        skipped=False,
    )


def looked(pl_module: SimpleNamespace, step: int = 1, every: int = 10) -> dict[str, float]:
    trainer = SimpleNamespace(global_step=0, current_epoch=0, loggers=[], callback_metrics={})
    callback = TrainingFeatures(every)
    callback.on_train_start(trainer, pl_module)  # type: ignore[arg-type]
    trainer.global_step = step
    callback.on_train_batch_end(trainer, pl_module)  # type: ignore[arg-type]
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_logged_values_equal_the_metric_functions() -> None:
    pl_module = module(torch.randn(40, 6))
    values, reps = looked(pl_module), pl_module.representations
    assert values["train/z_agg/effective_rank"] == pytest.approx(float(effective_rank(reps.z_agg)))
    assert values["train/z/feature_std_l2"] == pytest.approx(float(feature_std_l2(reps.z[:, 0])))
    assert values["train/target/drift"] == pytest.approx(0.2)
    assert (values["train/z/n"], values["train/z_agg/n"]) == (40, 40)


def test_large_batches_are_truncated_and_their_n_is_logged() -> None:
    assert looked(module(torch.randn(1000, 6)))["train/z_agg/n"] == 256


def test_steps_in_between_skipped_steps_and_taps_that_are_not_finite_are_not_logged() -> None:
    assert looked(module(torch.randn(9, 4)), step=7) == {}
    assert looked(module(torch.randn(9, 4)), step=20) != {}
    skipped = module(torch.randn(9, 4))
    skipped.skipped = True
    assert looked(skipped) == {}
    broken = looked(module(torch.full((9, 4), torch.nan), target=False))
    assert set(broken) == {"train/z/feature_std_l2", "train/z/effective_rank", "train/z/n"}


@pytest.mark.parametrize("overrides", [["optim.accumulate=2"], ["model.dropout=0.3", "target=ema"]])
def test_measuring_features_changes_no_bit_of_the_training(
    overrides: list[str], make_config: Make, tmp_path: Path
) -> None:
    seen = train(make_config(*overrides, "monitor.features_every=1"))
    config = make_config(*overrides, "monitor.features_every=null")
    config.runs_dir = str(tmp_path / "without")  # the ledger would otherwise find the same run
    plain = train(config)
    assert seen.module is not None
    assert plain.module is not None
    other = plain.module.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in seen.module.state_dict().items())
    assert "train/z_agg/effective_rank" in seen.metrics
    assert "train/z_agg/effective_rank" not in plain.metrics
    assert ("train/target/drift" in seen.metrics) is ("target=ema" in overrides)
