"""The use of actions on predictors with known answers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.metrics import action_use
from jepa_lab.metrics.action_use import RIDGES, ActionReadout, action_readout


class Turned:
    """Features of n turned objects in M views: their content, and the angle as two harmonics of
    weight `trace`. Every action turns the object on by a random angle, or by quarter-turns."""

    def __init__(
        self,
        n: int = 512,
        m: int = 1,
        content: int = 12,
        trace: float = 3.0,
        seed: int = 0,
        quarter: bool = False,
    ) -> None:
        g = torch.Generator().manual_seed(seed)
        self.content = torch.randn(n, content, generator=g)
        self.trace = trace
        angle = 2 * math.pi * torch.rand(n, generator=g)
        turns = 2 * math.pi * torch.rand(n, m, generator=g)
        if quarter:
            turns = (turns / (math.pi / 2)).floor() * (math.pi / 2)
        angles = angle[:, None] + torch.cat([torch.zeros(n, 1), turns.cumsum(dim=1)], dim=1)
        self.angle, self.turn = angles[:, -2], turns[:, -1]
        views = torch.stack([self.at(angles[:, i]) for i in range(m)], dim=1)
        self.views = views + 0.05 * torch.randn(views.shape, generator=g)
        self.actions = torch.stack([turns.cos(), turns.sin()], dim=2)
        self.target = self.at(angles[:, -1])

    def at(self, angle: Tensor) -> Tensor:
        harmonics = (angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin())
        return torch.cat([self.content, self.trace * torch.stack(harmonics, dim=1)], dim=1)

    def predicted(self, turn: Tensor, share: float) -> Tensor:
        """Returns a prediction that applies the turn to a share of its harmonics."""
        without = torch.cat([self.content, torch.zeros(len(turn), 4)], dim=1)
        return share * self.at(self.angle + turn) + (1 - share) * without

    def gain(self, share: float) -> float:
        true, other = (self.predicted(t, share) for t in (self.turn, self.turn.roll(1)))
        return float(loss(other, self.target) - loss(true, self.target))

    def readout(self) -> ActionReadout:
        readout = action_readout(self.views, self.actions, self.target)
        assert readout is not None
        return readout


def loss(predicted: Tensor, target: Tensor) -> Tensor:
    return 1 - F.cosine_similarity(predicted, target, dim=1).mean()


def test_a_prediction_that_applies_the_turn_uses_all_and_one_that_ignores_it_nothing() -> None:
    turned = Turned()
    readout = turned.readout()
    assert readout.loss < 0.01
    assert readout.loss_without > 0.3
    assert readout.use(turned.gain(0.0)) == pytest.approx(0, abs=1e-6)
    assert readout.use(turned.gain(1.0)) == pytest.approx(1, abs=0.05)


def test_use_rises_with_the_share_of_the_turn_that_is_applied() -> None:
    turned = Turned()
    uses = [turned.readout().use(turned.gain(share)) for share in (0.0, 0.1, 0.25, 0.5, 1.0)]
    assert uses == sorted(uses)
    assert 0.4 < turned.readout().use(turned.gain(0.5)) < 0.8


def test_features_without_a_trace_of_the_turn_have_no_use() -> None:
    turned = Turned(trace=0.0)
    assert not turned.readout().shows_actions
    assert math.isnan(turned.readout().use(0.0))


@pytest.mark.parametrize("seed", range(5))
def test_random_actions_are_no_trace(seed: int) -> None:
    turned = Turned(seed=seed)
    g = torch.Generator().manual_seed(100 + seed)
    other = torch.randn(turned.actions.shape, generator=g)
    readout = action_readout(turned.views, other, turned.target)
    assert readout is not None
    assert not readout.shows_actions


@pytest.mark.parametrize("quarter", [True, False])
def test_the_readout_finds_quarter_turns_and_any_turn(quarter: bool) -> None:
    turned = Turned(n=384, quarter=quarter)
    assert turned.readout().use(turned.gain(1.0)) > 0.9


def test_every_step_between_views_helps_a_small_validation_set() -> None:
    one, three = Turned(n=128, content=28), Turned(n=128, m=3, content=28)
    assert one.readout().loss > 1.5 * three.readout().loss
    assert one.readout().gain < 0.9 * three.readout().gain


def test_the_use_does_not_depend_on_scale_mean_or_rotation_of_the_features() -> None:
    turned = Turned(n=256)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1))).Q
    moved = 1e3 * turned.views @ basis + 5.0
    readout = action_readout(moved, turned.actions, 7.0 * turned.target)
    assert readout is not None
    assert readout.loss == pytest.approx(turned.readout().loss, rel=1e-3)


def test_too_few_rows_and_values_that_are_not_finite_have_no_readout() -> None:
    turned = Turned(n=63)
    assert action_readout(turned.views, turned.actions, turned.target) is None
    turned = Turned(n=64)
    assert action_readout(turned.views, turned.actions, turned.target) is not None
    turned.target[0, 0] = math.nan
    assert action_readout(turned.views, turned.actions, turned.target) is None


def test_constant_features_and_targets_give_numbers() -> None:
    actions = torch.randn(64, 2, 2, generator=torch.Generator().manual_seed(0))
    readout = action_readout(torch.ones(64, 2, 3), actions, torch.ones(64, 3))
    assert readout is not None
    assert readout.loss == pytest.approx(0, abs=1e-6)
    assert not readout.shows_actions


@pytest.mark.parametrize(
    ("views", "actions", "targets"),
    [
        ((64, 3), (64, 2), (64, 3)),
        ((64, 2, 3), (64, 1, 2), (64, 3)),
        ((64, 2, 3), (64, 2, 2), (63, 3)),
        ((64, 2, 3), (64, 2, 2), (64, 4)),
    ],
)
def test_other_shapes_are_refused(
    views: tuple[int, ...], actions: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        action_readout(torch.ones(views), torch.ones(actions), torch.ones(targets))


def test_targets_of_another_encoder_are_read_from_the_steps_to_them_alone() -> None:
    turned = Turned(m=3)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1))).Q
    other = turned.target @ basis
    readout = action_readout(turned.views, turned.actions, other)
    alone = action_readout(turned.views[:, -1:], turned.actions[:, -1:], other)
    assert readout is not None
    assert alone is not None
    assert readout.loss == pytest.approx(alone.loss, rel=0.05)
    assert readout.loss < 0.05


def longhand_fit(kernel: Tensor, y: Tensor) -> Tensor:
    """Returns the dual weights of the ridge with the least leave-one-out loss."""
    values, vectors = torch.linalg.eigh(kernel)
    fits = []
    for ridge in RIDGES:
        inverse = 1.0 / (values.clamp_min(0.0) + ridge * float(kernel.diagonal().mean()))
        weights = vectors @ (inverse[:, None] * (vectors.T @ y))
        left_out = y - weights / (vectors.square() @ inverse)[:, None]
        fits.append((float((1.0 - F.cosine_similarity(left_out, y, dim=-1)).mean()), weights))
    return min(fits, key=lambda fit: fit[0])[1]


@pytest.mark.parametrize("n", [64, 101, 200])
def test_a_fit_has_the_bits_of_its_longhand_form(n: int) -> None:
    x, y = torch.randn(n, 8).double(), F.normalize(torch.randn(n, 5).double(), dim=1)
    y[0] = 0.0
    kernel, before = 1.0 + x @ x.T, y.clone()
    assert torch.equal(action_use._fit(kernel, y), longhand_fit(kernel, y))
    assert torch.equal(y, before)


@pytest.mark.parametrize(("m", "fits"), [(1, 4), (3, 6)])
def test_only_the_readout_that_counts_is_fitted_without_actions(
    m: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counted(kernel: Tensor, y: Tensor) -> Tensor:
        sizes.append(len(kernel))
        return longhand_fit(kernel, y)

    expected = Turned(n=64, m=m).readout()
    monkeypatch.setattr(action_use, "_fit", counted)
    assert Turned(n=64, m=m).readout() == expected
    assert len(sizes) == fits
