"""Where CollapseMonitor gives a verdict: at the end of fit, and of validate and test alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from jepa_lab.callbacks import CollapseMonitor
from quiet_trainers import quiet_trainer

Encode = Callable[[Tensor], Tensor]


def alike(x: Tensor) -> Tensor:
    return 1e-4 * x + 1


def spread(x: Tensor) -> Tensor:
    return x


class Encoder(pl.LightningModule):
    """Returns its features from both steps, or sets them as an attribute in validation alone."""

    def __init__(self, encode: Encode, attribute: bool = False, tested: bool = True) -> None:
        super().__init__()
        self.layer, self.encode = nn.Linear(8, 8), encode
        self.attribute, self.tested = attribute, tested

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.layer(batch[0]).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> Mapping[str, Tensor] | None:
        found = {"code": self.encode(batch[0])}
        if self.attribute:
            self.features = found
        return None if self.attribute else found

    def test_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        return {"code": self.encode(batch[0])} if self.tested else {"loss": batch[0].mean()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def trainer(monitor: CollapseMonitor, epochs: int = 1) -> pl.Trainer:
    return quiet_trainer(monitor, epochs=epochs)


@pytest.fixture
def data() -> DataLoader:
    rows = torch.randn(128, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(rows), batch_size=32)


@pytest.mark.parametrize("phase", ["validate", "test"])
@pytest.mark.parametrize(("encode", "status"), [(alike, "complete_collapse"), (spread, "healthy")])
def test_a_pass_without_a_fit_gets_a_verdict(
    phase: str, encode: Encode, status: str, data: DataLoader, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = CollapseMonitor()
    run = trainer(monitor)
    getattr(run, phase)(Encoder(encode), data, verbose=False)
    assert monitor.verdict is not None
    assert monitor.verdict.status == status
    assert monitor.verdict.line() in capsys.readouterr().out
    prefix = "val" if phase == "validate" else "test"
    assert f"{prefix}/code/effective_rank" in run.callback_metrics


def test_a_pass_is_quiet_if_the_monitor_is(
    data: DataLoader, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = CollapseMonitor(verbose=False)
    trainer(monitor).validate(Encoder(alike), data, verbose=False)
    assert monitor.verdict is not None
    assert "collapse" not in capsys.readouterr().out


@pytest.mark.parametrize("attribute", [False, True])
def test_a_test_step_without_features_is_left_out(attribute: bool, data: DataLoader) -> None:
    monitor = CollapseMonitor(verbose=False)
    run, module = trainer(monitor), Encoder(spread, attribute, tested=False)
    run.fit(module, data, data)
    verdict = monitor.verdict
    run.test(module, data, verbose=False)
    assert monitor.verdict is verdict
    assert not any(key.startswith("test/code") for key in run.callback_metrics)


def test_a_test_does_not_change_the_history_of_the_fit(data: DataLoader) -> None:
    monitor = CollapseMonitor(verbose=False)
    run, module = trainer(monitor), Encoder(spread)
    run.fit(module, data, data)
    before = {key: list(points) for key, points in monitor.monitor.history.items()}
    module.encode = alike
    run.test(module, data, verbose=False)
    assert monitor.verdict is not None
    assert monitor.verdict.status == "complete_collapse"
    assert monitor.monitor.history == before


def test_a_validation_after_a_fit_is_judged_with_its_history(data: DataLoader) -> None:
    monitor = CollapseMonitor(verbose=False)
    run, module = trainer(monitor, epochs=3), Encoder(spread)
    run.fit(module, data, data)
    module.encode = alike
    run.validate(module, data, verbose=False)
    assert monitor.verdict is not None
    assert monitor.verdict.status == "complete_collapse"
    assert monitor.verdict.since_step == run.global_step


def test_other_weights_validated_by_the_same_monitor_are_judged_alone(data: DataLoader) -> None:
    monitor, narrow = CollapseMonitor(verbose=False), nn.Linear(8, 3, bias=False)
    for encode in (spread, spread, lambda x: narrow(x) @ narrow.weight, spread):
        trainer(monitor).validate(Encoder(encode), data, verbose=False)
        assert monitor.verdict is not None
        assert " fell from " not in monitor.verdict.line()
        assert monitor.verdict.status == "healthy" or encode not in (spread, alike)


def test_a_fall_under_the_monitor_is_named_with_its_step(data: DataLoader) -> None:
    class Narrowing(Encoder):
        def validation_step(self, batch: list[Tensor], batch_idx: int) -> Mapping[str, Tensor]:
            x = torch.cat([batch[0]] * 4, dim=1) * torch.randn(
                32, 32, generator=torch.Generator().manual_seed(batch_idx)
            )
            scale = torch.ones(32)
            scale[6:] = 1.0 if self.current_epoch < 4 else 1e-1
            return {"code": x * scale}

    monitor = CollapseMonitor(verbose=False)
    trainer(monitor, epochs=8).fit(Narrowing(spread), data, data)
    assert monitor.verdict is not None
    assert (monitor.verdict.status, monitor.verdict.since_step) == ("low_rank", 20)
    assert "at once at step 20" in monitor.verdict.line()


class Failing(Encoder):
    """Fails in the second epoch."""

    def __init__(self, encode: Encode, error: BaseException) -> None:
        super().__init__(encode)
        self.error = error

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.current_epoch == 1:
            raise self.error
        return super().training_step(batch, batch_idx)


def test_a_fit_that_dies_gets_a_verdict_on_its_validations(
    data: DataLoader, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = CollapseMonitor()
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer(monitor, epochs=3).fit(Failing(alike, RuntimeError("out of memory")), data, data)
    assert monitor.verdict is not None
    assert monitor.verdict.status == "complete_collapse"
    assert monitor.verdict.line() in capsys.readouterr().out


def test_a_fit_that_dies_before_its_first_validation_gets_none(data: DataLoader) -> None:
    class First(Failing):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            raise self.error

    monitor = CollapseMonitor()
    with pytest.raises(RuntimeError):
        trainer(monitor).fit(First(alike, RuntimeError("x")), data, data)
    assert monitor.verdict is None


def test_feature_maps_are_refused_with_their_shape(data: DataLoader) -> None:
    def maps(x: Tensor) -> Tensor:
        return x[:, :, None, None].expand(-1, -1, 7, 7)

    with pytest.raises(ValueError, match=r"'code' have shape \(32, 8, 7, 7\); .* 'map'"):
        trainer(CollapseMonitor()).validate(Encoder(maps), data, verbose=False)
