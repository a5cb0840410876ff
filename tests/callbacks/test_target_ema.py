from types import SimpleNamespace

import torch
from torch import nn

from jepa_lab.callbacks import TargetEMA
from jepa_lab.networks.ema import make_ema_copy


def test_the_target_moves_once_per_optimiser_step_also_under_accumulation() -> None:
    online = nn.Linear(2, 2)
    module = SimpleNamespace(
        network=SimpleNamespace(encoder=online), target_encoder=make_ema_copy(online)
    )
    callback, trainer = TargetEMA(0.5, "constant", 10), SimpleNamespace(global_step=0)
    start = module.target_encoder.weight.clone()
    with torch.no_grad():
        online.weight += 1.0
    callback.on_train_start(trainer, module)  # type: ignore[arg-type]
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert torch.equal(module.target_encoder.weight, start)
    trainer.global_step = 1
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    callback.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    assert torch.allclose(module.target_encoder.weight, start + 0.5)
