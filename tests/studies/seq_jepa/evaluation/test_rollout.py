"""Latent rollouts: a world with known answers, no leak of future views, and the places that log
them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.views.build import Rotation
from jepa_lab.ledger.identity import run_id
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation.loading import build_frozen, rollout_of, rollout_views
from jepa_lab.studies.seq_jepa.evaluation.rollout import (
    measure_rollout,
    reach,
    relative_error,
    roll_out,
    teacher_forced,
)
from jepa_lab.studies.seq_jepa.objective import Objective
from study_parts import load_data

Make = Callable[..., Config]


class World(nn.Module):
    """A latent is an angle on the unit circle times a length without information. An action (sin,
    cos) turns it. The prediction is exact (`knows`), or always the same."""

    def __init__(self, knows: bool = True, length: float = 1.0) -> None:
        super().__init__()
        self.knows, self.length, self.aggregator = knows, length, nn.Identity()
        self.seen: list[Tensor] = []

    def encode(self, views: Tensor) -> Tensor:
        """Returns the direction of the one white corner of an image."""
        corners = views[..., 0, [0, 0, -1, -1], [-1, 0, 0, -1]]
        angle = corners.argmax(-1).float() * (math.pi / 2)
        return torch.stack([angle.cos(), angle.sin()], dim=-1)

    def predict(self, z: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(z)
        (x, y), (sin, cos) = z[:, -1].unbind(-1), actions[:, -1].unbind(-1)
        turned = torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)
        constant = torch.tensor([1.0, 0.0]).expand_as(turned)
        return z[:, -1], self.length * (turned if self.knows else constant)


def measured(world: World, n: int = 256, **options: Any) -> Any:
    corner = torch.zeros(n, 1, 4, 4, dtype=torch.uint8)
    corner[:, :, 0, -1] = 255
    source = ImageSource("corner", corner, None, 0, (0.0,), (1.0,))
    group = Rotation(n_views=6, mean=(0.0,), std=(1.0,))
    module = cast(
        Any,
        SimpleNamespace(
            network=world,
            objective=Objective(None),
            device=torch.device("cpu"),
            encode_target=world.encode,
        ),
    )
    return measure_rollout(module, group, source, observed=2, split="val", seed=0, **options)


def test_perfect_predictor_has_no_error_and_a_constant_has_error_one() -> None:
    exact, constant = measured(World()), measured(World(knows=False))
    assert [step.k for step in exact.steps] == [1, 2, 3, 4]
    for known, blind in zip(exact.steps, constant.steps, strict=True):
        assert known.rollout == pytest.approx(0.0, abs=1e-6)
        assert known.teacher_forced == pytest.approx(0.0, abs=1e-6)
        # With 256 draws of four quarters the best constant is hardly better than this constant or
        # than a copy.
        assert blind.rollout == pytest.approx(1.0, abs=0.15)
        assert blind.copy == known.copy == pytest.approx(1.0, abs=0.15)
        assert known.constant == pytest.approx(1.0, abs=0.15)


def test_prediction_length_is_not_fed_back() -> None:
    long = World(length=50.0)
    assert all(step.rollout == pytest.approx(0.0, abs=1e-6) for step in measured(long).steps)
    for z in long.seen:
        assert torch.allclose(z.norm(dim=-1), torch.ones(z.shape[:2]), atol=1e-5)


def test_interval_contains_the_value_and_equals_it_without_resampling() -> None:
    (first, *_) = measured(World(knows=False), resamples=200).steps
    assert first.low < first.rollout < first.high
    (plain, *_) = measured(World(knows=False)).steps
    assert plain.low == plain.rollout == plain.high == first.rollout


def test_constant_targets_have_error_one() -> None:
    assert relative_error(0.0, 0.0) == 1.0
    assert relative_error(0.25, 0.5) == pytest.approx(0.5)


def small(make: Make, *overrides: str) -> tuple[Config, Any, Any]:
    config = make(*overrides)
    splits = load_data(config)
    return config, splits, build_frozen(config, splits)


def test_first_step_is_the_prediction_and_later_steps_see_no_future_view(make_config: Make) -> None:
    config, splits, module = small(make_config)
    group, why = rollout_views(config, splits, module.network, 3)
    assert group is not None
    assert why is None
    index = torch.arange(16)
    batch = group(splits.val.images[:16], None, index, seed=0, split="val", epoch=0)
    z = module.network.encode(batch.observed)
    ahead = roll_out(module.network, z[:, :3], batch.actions)
    forced = teacher_forced(module.network, z, batch.actions, 3)
    once = module.network.predict(z[:, :3], batch.actions[:, :3])[1]
    assert ahead.shape == forced.shape == (16, 3, z.shape[-1])
    assert torch.equal(ahead[:, 0], once)
    assert torch.equal(forced[:, 0], once)
    changed = module.network.encode(
        torch.cat([batch.observed[:, :3], torch.randn_like(batch.observed[:, 3:])], dim=1)
    )
    assert torch.equal(roll_out(module.network, changed[:, :3], batch.actions), ahead)
    assert not torch.allclose(
        teacher_forced(module.network, changed, batch.actions, 3)[:, 1], forced[:, 1]
    )
    other = batch.actions.clone()
    other[:, -1] = -other[:, -1]  # the last action matters for the last view only
    later = roll_out(module.network, z[:, :3], other)
    assert torch.equal(later[:, :2], ahead[:, :2])
    assert not torch.equal(later[:, 2], ahead[:, 2])


def test_learned_positions_limit_the_rollout(make_config: Make) -> None:
    config, splits, module = small(make_config, "model.positions=learned", "dataset.n_views=32")
    assert reach(module.network, 31, 5)[0] == 2
    group, why = rollout_views(config, splits, module.network, 5)
    assert group is not None
    assert group.n_views == 33
    assert why is not None
    assert "learned positions for 32 views" in why
    assert reach(module.network, 33, 1)[0] == 0


def test_training_logs_the_rollout_once_and_changes_nothing_else(
    make_config: Make, tmp_path: Path
) -> None:
    with_it = train(make_config("dataset.epochs=1"))
    none = make_config(
        "dataset.epochs=1", "monitor.rollout_steps=0", f"runs_dir={tmp_path / 'other'}"
    )
    without = train(none)
    keys = {f"val/rollout/{k}" for k in (1, 2, 3)}
    assert with_it.run_dir.name == without.run_dir.name  # the same run
    assert with_it.metrics.keys() - without.metrics.keys() == keys
    timed = ("monitor/seconds",)
    assert all(
        with_it.metrics[k] == v
        for k, v in without.metrics.items()
        if not k.endswith(timed) and math.isfinite(v)
    )
    weights = [
        torch.load(r.run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for r in (with_it, without)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    # The first step on the 64 validation images, in the validation views, gives the run's skill.
    assert with_it.metrics["val/rollout/1"] == pytest.approx(
        1 - with_it.metrics["val/skill"], abs=1e-5
    )
    assert (
        json.loads((with_it.run_dir / "summary.json").read_text())["metrics"]["val/rollout/3"][
            "last"
        ]
        > 0
    )


def test_verdict_notes_a_rollout_only_if_its_first_step_is_good() -> None:
    from jepa_lab.diagnosis.prediction import prediction_findings
    from jepa_lab.diagnosis.settings import Settings
    from jepa_lab.diagnosis.thresholds import Thresholds

    def notes(*errors: float) -> list[str]:
        history = {f"val/rollout/{k}": [(10, error)] for k, error in enumerate(errors, start=1)}
        return [
            f.reason
            for f in prediction_findings(history, Thresholds(), Settings())
            if f.quantity == "val/rollout"
        ]

    assert notes(0.5, 0.9, 1.2) == ["a rollout of 3 steps is no better than a constant"]
    assert notes(0.5, 0.9, 0.99) == []
    assert notes(1.1, 1.2) == []


def test_rollout_steps_do_not_change_the_run_id(make_config: Make) -> None:
    from dataclasses import asdict

    config = make_config()
    other = replace(config, monitor=replace(config.monitor, rollout_steps=9))
    assert run_id(asdict(config), "data") == run_id(asdict(other), "data")
    old = asdict(config)
    del old["monitor"]["rollout_steps"]  # older runs have no such key
    assert run_id(old, "data") == run_id(asdict(config), "data")


def test_evaluated_rollout_reads_test_images_and_has_an_interval(make_config: Make) -> None:
    from jepa_lab.studies.seq_jepa.evaluation.loading import LoadedRun

    config, splits, module = small(make_config)
    found, why = rollout_of(LoadedRun(Path("run"), config, splits, module, 0, "completed"), 2, 40)
    assert why is None
    assert found is not None
    assert (found.images, found.observed, [s.k for s in found.steps]) == (40, 3, [1, 2])
    assert all(s.low <= s.rollout <= s.high for s in found.steps)
