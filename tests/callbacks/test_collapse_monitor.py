"""CollapseMonitor on foreign code: it finds named features, measures them and prints a verdict."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable
from types import ModuleType

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from conftest import ROOT
from jepa_lab.callbacks import CollapseMonitor
from jepa_lab.losses import DinoLoss, constant_baseline_loss
from jepa_lab.metrics import collapse_metrics, lidar, view_metrics
from jepa_lab.monitor.statistics import MAX_ROWS, FirstRows, TapStatistics
from jepa_lab.studies.seq_jepa.monitor import EvaluationPass, measure
from jepa_lab.studies.seq_jepa.objective import Objective, PredictionLoss
from quiet_trainers import quiet_trainer


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "foreign_monitor", ROOT / "examples" / "foreign_monitor.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Foreign(pl.LightningModule):
    """A module that offers the result of `look` as a return value or as an attribute."""

    def __init__(self, look: object = None, attribute: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Linear(6, 6)
        self.look = look or (lambda z: {"z": z, "loss": z.mean()})
        self.attribute = attribute

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return (self.encoder(batch[0]) - batch[0]).square().mean()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> object:
        seen = self.look(self.encoder(batch[0]))  # type: ignore[operator]
        if not self.attribute:
            return seen
        self.features = seen
        return None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


DATA = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))


def fit(module: Foreign, *callbacks: pl.Callback, epochs: int = 2) -> pl.Trainer:
    loader = DataLoader(TensorDataset(DATA), batch_size=64)
    trainer = quiet_trainer(*callbacks, epochs=epochs)
    trainer.fit(module, loader, loader)
    return trainer


def test_the_example_prints_a_healthy_verdict_and_reports_a_collapse(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = example.main(epochs=4)
    assert monitor.verdict.status == "healthy"
    assert monitor.verdict.line() in capsys.readouterr().out
    assert set(monitor.verdict.per_tap) == {"code", "reconstruction"}
    collapsed = example.main(collapse=True).verdict
    assert (collapsed.status, collapsed.tap) == ("complete_collapse", "code")
    assert collapsed.line() in capsys.readouterr().out


@pytest.mark.parametrize("attribute", [False, True])
def test_logged_values_equal_the_metric_functions_on_the_whole_set(attribute: bool) -> None:
    module, monitor = Foreign(attribute=attribute), CollapseMonitor(verbose=False)
    logged = fit(module, monitor).callback_metrics
    with torch.no_grad():
        expected = collapse_metrics(module.encoder(DATA))
    for name, value in expected.items():
        if not math.isnan(value):
            assert float(logged[f"val/z/{name}"]) == pytest.approx(value, rel=1e-5), name
    assert (float(logged["val/z/n"]), float(logged["val/z/d"])) == (200, 6)
    assert "val/loss/n" not in logged
    assert float(logged["monitor/seconds"]) > 0


def test_features_of_several_views_get_the_metrics_of_views() -> None:
    module, monitor = (
        Foreign(lambda z: {"h": torch.stack([z, z + 0.1, 2 * z], dim=1)}),
        CollapseMonitor("test", False, role={"h": "views"}),
    )
    logged = fit(module, monitor).callback_metrics
    with torch.no_grad():
        z = module.encoder(DATA)
    expected = float(lidar(torch.stack([z, z + 0.1, 2 * z], dim=1)))
    assert float(logged["test/h/lidar"]) == pytest.approx(expected, rel=1e-4)
    assert float(logged["test/h/n"]) == 600
    assert monitor.verdict is not None
    assert set(monitor.verdict.per_tap) == {"h"}


def test_features_that_are_not_finite_and_too_few_rows_have_their_own_verdicts() -> None:
    monitor = CollapseMonitor(verbose=False)
    fit(Foreign(lambda z: {"z": z * math.nan}), monitor)
    assert monitor.verdict is not None
    assert monitor.verdict.status == "diverged"
    few = CollapseMonitor(verbose=False)
    fit(Foreign(lambda z: {"z": z[:3]}), few)
    assert few.verdict is not None
    assert few.verdict.status == "inconclusive"


@pytest.mark.parametrize("look", [lambda z: None, lambda z: z, lambda z: {"loss": z.mean()}])
def test_a_step_without_features_is_no_error_and_says_what_to_return(
    look: object, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = CollapseMonitor()
    fit(Foreign(look), monitor)
    assert monitor.verdict is not None
    assert monitor.verdict.status == "inconclusive"
    said = capsys.readouterr().err
    assert said.count("no features from Foreign.validation_step: return {name: (n, d)") == 1


def test_an_attribute_features_that_is_not_a_mapping_is_ignored() -> None:
    module, monitor = Foreign(), CollapseMonitor(verbose=False)
    module.features = nn.Linear(2, 2)
    fit(module, monitor)
    assert monitor.verdict is not None
    assert set(monitor.verdict.per_tap) == {"z"}


def test_the_monitor_changes_no_bit_of_the_training() -> None:
    states = []
    for callbacks in ((), (CollapseMonitor(verbose=False),)):
        torch.manual_seed(3)
        module = Foreign()
        fit(module, *callbacks)
        states.append(module.state_dict())
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_first_rows_keeps_the_first_rows_up_to_its_limit() -> None:
    first = FirstRows(10)
    assert first.all() is None
    z = torch.arange(24.0).reshape(12, 2)
    for rows in z.split(4):
        first.update(rows)
    kept = first.all()
    assert kept is not None
    assert torch.equal(kept, z[:10])


def test_a_tap_keeps_a_bounded_number_of_rows() -> None:
    tap = TapStatistics()
    for _ in range(30):
        tap.update(torch.randn(500, 2, 4))
    held = sum(map(len, tap.statistics._waiting)) + 2 * len(tap._views.all())  # type: ignore[arg-type]
    assert held < 2 * MAX_ROWS
    assert tap.values()["n"] == 30000


def test_undefined_or_infinite_values_are_left_out() -> None:
    tap = TapStatistics()
    tap.update(torch.ones(40, 2, 3))
    values = tap.values()
    assert not {"alpha_req", "condition_number", "mean_to_std_ratio"} & set(values)
    assert (values["eigenvalue_ratio"], values["dead_share"], values["lidar"]) == (0.0, 1.0, 1.0)
    assert all(map(math.isfinite, values.values()))


def batches(n: int) -> list[dict[str, Tensor]]:
    z, z_target = torch.randn(n, 3, 8), torch.randn(n, 6) + 2
    rows = {"z": z, "z_agg": torch.randn(n, 10), "z_hat": torch.randn(n, 6), "z_target": z_target}
    rows |= {name: torch.rand(n) for name in ("loss", "loss_shuffled", "loss_copy")}
    return [{k: v[i : i + 70] for k, v in rows.items()} for i in range(0, n, 70)]


def test_a_pass_in_batches_gives_the_same_values_as_one_batch() -> None:
    parts = batches(300)
    whole = {k: torch.cat([part[k] for part in parts]) for k in parts[0]}
    seen = EvaluationPass()
    for part in parts:
        seen.update(part)
    got, expected = seen.values("val", 10), measure(whole, "val", 10)
    assert got == pytest.approx(expected, rel=1e-9)
    assert got["val/z/lidar"] == pytest.approx(view_metrics(whole["z"])["lidar"], rel=1e-9)
    loss, constant = (
        float(whole["loss"].double().mean()),
        float(constant_baseline_loss(whole["z_target"])),
    )
    assert got["val/skill"] == pytest.approx(1 - loss / constant, rel=1e-5)


def test_prototypes_of_a_dino_form_are_measured_over_the_whole_pass() -> None:
    match = PredictionLoss(DinoLoss(6, teacher_temp=0.1).eval())
    parts = batches(300)
    whole = torch.cat([part["z_target"] for part in parts])
    seen = EvaluationPass(Objective(None, match=match))
    for part in parts:
        seen.update(part)
    got = seen.values("val", 10)
    p = match.probabilities(whole)
    assert got["val/dino/prototype_usage"] == len(p.argmax(1).unique()) / 6
    assert got["val/dino/entropy_of_mean"] == pytest.approx(float(match.constant(whole)), rel=1e-6)
    assert "val/dino/prototype_usage" not in measure(parts[0], "val", 10)


def test_of_the_raw_input_the_first_images_are_measured_whatever_the_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jepa_lab.studies.seq_jepa.monitor.MOST_INPUT", 50 * 12)
    images = torch.rand(300, 12)
    seen, at = EvaluationPass(), 0
    for part in batches(300):
        n = len(part["loss"])
        seen.update({**part, "input": seen.first_inputs(images[at : at + n])})
        at += n
    got = seen.values("reference", 10)
    assert got["reference/input/n"] == 50
    expected = collapse_metrics(images[:50])["effective_rank"]
    assert got["reference/input/effective_rank"] == pytest.approx(expected, rel=1e-9)


class Several(Foreign):
    """A module with two validation loaders."""

    def validation_step(
        self, batch: list[Tensor], batch_idx: int, dataloader_idx: int = 0
    ) -> object:
        return {
            "z/deep": self.encoder(batch[0])
            if dataloader_idx == 0
            else torch.ones(len(batch[0]), 3)
        }


def fitted(module: pl.LightningModule, monitor: CollapseMonitor, loaders: int = 1) -> None:
    data = [DataLoader(TensorDataset(DATA), batch_size=50) for _ in range(loaders)]
    trainer = quiet_trainer(monitor, epochs=2)
    trainer.fit(module, data[0], data)


def test_each_validation_loader_has_its_own_taps_and_names_may_contain_a_slash() -> None:
    monitor = CollapseMonitor(verbose=False)
    fitted(Several(), monitor, loaders=2)
    assert monitor.verdict is not None
    assert monitor.verdict.per_tap == {
        "z/deep": "healthy",
        "z/deep/dataloader_idx_1": "complete_collapse",
    }


def test_a_second_fit_starts_a_new_history() -> None:
    monitor = CollapseMonitor(verbose=False)
    fitted(Foreign(lambda z: {"z": torch.ones_like(z)}), monitor)
    assert monitor.verdict is not None
    assert monitor.verdict.since_step == 4
    fitted(Foreign(lambda z: {"other": z}), monitor)
    assert monitor.verdict.per_tap == {"other": "healthy"}


@pytest.mark.parametrize(
    ("look", "message"),
    [
        (lambda z: z[:, :3], "6 dimensions before, now shape (50, 3)"),
        (lambda z: torch.stack([z] * 3, 1), "rows of shape (2, 6) before, now (3, 6)"),
    ],
)
def test_features_whose_shape_changes_are_reported_by_name(
    look: Callable[[Tensor], Tensor], message: str
) -> None:
    tap = TapStatistics()
    tap.update(torch.stack([DATA, DATA], 1))
    with pytest.raises(ValueError, match=re.escape(message)):
        tap.update(look(DATA[:50]))
