"""The rates of auto mode: the curvature that they follow, their limits, and settings on which they
must not depend."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.data import generator
from jepa_lab.studies.linear_byol.grid import members
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.linear_byol.monitor import Blocks
from jepa_lab.studies.linear_byol.rates import FLOOR, ITERATIONS, auto_state, update_rates
from toy_configs import configure

AUTO = ["lr_enc_mode=auto", "auto_alpha_c=0.4", "auto_beta_c=0.2", "batch_size=64", "epochs=300"]


def one(*overrides: str) -> ToyConfig:
    (config,) = members(configure(*AUTO, *overrides))
    return config


def trained(config: ToyConfig, log_every: int = 50) -> LinearBYOL:
    module = LinearBYOL([config])
    for block in Blocks(1, config.epochs, log_every):
        module.training_step(block)
    return module


def exact_h(module: LinearBYOL) -> float:
    A, spectrum = module.groups[0].data.A, module.groups[0].data.spectrum
    B = module.enc_0.data[0]
    return float(torch.linalg.eigvalsh((B @ A * spectrum) @ (B @ A).T + 0.25 * B @ B.T)[-1])


def state_of(moment: torch.Tensor, **values: float) -> dict[str, torch.Tensor]:
    """Returns the state of one run before its first step."""
    given = {"tau": 0.01, "mom_pred": 0.9, "mom_enc": 0.5, **values}
    found = auto_state([3], moment.shape[-1])
    found.update({k: torch.tensor([v], dtype=torch.float64) for k, v in given.items()})
    return found | {"lr_pred": torch.zeros(1).double(), "lr_enc": torch.zeros(1).double()}


def rates(
    moment: torch.Tensor, *overrides: str, c: float = 0.4, **values: float
) -> dict[str, float]:
    """Returns lr_pred, lr_enc and h of the first step for this second moment."""
    s = state_of(moment, **values)
    update_rates(
        s,
        moment[None],
        1,
        one(*overrides),
        torch.tensor([c]).double(),
        torch.tensor([c / 2]).double(),
    )
    return {name: float(s[name]) for name in ("lr_pred", "lr_enc", "h")}


def with_h(h: float, d: int = 4) -> torch.Tensor:
    """Returns a second moment with largest eigenvalue h."""
    q = torch.linalg.qr(torch.randn(d, d, generator=generator("q"), dtype=torch.float64)).Q
    return q @ torch.diag(h * torch.linspace(0.05, 1, d).double() ** 2) @ q.T


@pytest.mark.parametrize(
    "overrides", [["population=true"], ["batch_size=512"]], ids=["exact moments", "samples"]
)
def test_the_power_iteration_finds_the_curvature_within_two_percent(overrides: list[str]) -> None:
    apart = (
        ["spectrum=log", "auto_memory=300", "auto_beta_c=1e-9"]
        if "batch_size=512" in overrides
        else []
    )
    module = trained(one(*overrides, *apart))
    assert float(module.h) == pytest.approx(exact_h(module), rel=0.02)


def test_the_default_rule_sets_rates_to_c_tau_over_h() -> None:
    module = trained(one("ema_m=0.99"))
    assert float(module.lr_pred) == pytest.approx(0.4 * 0.01 / float(module.h), rel=1e-9)
    assert float(module.lr_enc) == pytest.approx(0.2 * 0.01 / float(module.h), rel=1e-9)


def test_two_over_h_uses_tau_for_beta_only() -> None:
    found = [rates(with_h(10), "auto_rule=two_over_h", tau=tau) for tau in (0.001, 0.1)]
    for at, tau in zip(found, (0.001, 0.1), strict=True):
        assert at["lr_pred"] == pytest.approx(0.8 / 10, rel=1e-6)
        assert at["lr_enc"] == pytest.approx(0.2 * tau / 10, rel=1e-6)


def test_at_the_effective_scale_the_effective_step_is_c_tau_over_h() -> None:
    d = 4
    at = rates(with_h(10, d), "step_scale=effective")
    assert at["lr_pred"] * (2 / d) / (1 - 0.9) == pytest.approx(0.4 * 0.01 / 10, rel=1e-6)
    assert at["lr_enc"] * (2 / d) / (1 - 0.5) == pytest.approx(0.2 * 0.01 / 10, rel=1e-6)


@pytest.mark.parametrize("rule", ["tau_over_h", "two_over_h"])
@pytest.mark.parametrize("scale", ["published", "effective"])
def test_no_constant_sets_a_rate_above_half_the_stability_bound(rule: str, scale: str) -> None:
    at = rates(with_h(10), f"auto_rule={rule}", f"step_scale={scale}", c=1e9)
    assert at["lr_pred"] == pytest.approx(0.5 * 4 * 1.9 / 10, rel=1e-6)
    assert at["lr_enc"] == pytest.approx(0.5 * 4 * 1.5 / 10, rel=1e-6)
    wild = trained(
        one("auto_alpha_c=1e9", "auto_beta_c=1e-9", "batch_size=512", f"auto_rule={rule}")
    )
    assert bool(wild.active.all())  # at half the bound it is stable


def test_a_collapse_raises_the_rates_only_up_to_the_floor_of_h() -> None:
    s = state_of(with_h(10), tau=0.01)
    c = torch.tensor([0.4]).double()
    for step in range(1, 4000):
        update_rates(s, with_h(10 if step == 1 else 0)[None], step, one_of_memory, c, c)
    assert float(s["h"]) == pytest.approx(FLOOR * 10, rel=1e-6)
    assert float(s["lr_pred"]) == pytest.approx(0.4 * 0.01 / (FLOOR * 10), rel=1e-6)
    assert float(s["direction"].norm()) == pytest.approx(1)


one_of_memory = one("auto_memory=20")


def test_a_collapsing_run_in_auto_mode_stays_finite() -> None:
    overrides = [
        "pred=none",
        "stop_gradient=false",
        "ema_m=0",
        "enc_init=random",
        "population=true",
        "mom_enc=0",
    ]
    module = trained(one(*overrides, "epochs=2000", "auto_beta_c=0.4", "spectrum_range=[0.9,1]"))
    assert float(module.h) > exact_h(module)  # floored
    assert bool(module.active.all())
    assert float(module.enc_0.norm()) < 1e-3
    # half the bound of the encoder's own curvature
    assert float(module.lr_enc) == pytest.approx(0.5 * 10 / (4 * 1.25))


def test_zero_weights_at_the_start_give_finite_rates() -> None:
    at = rates(torch.zeros(4, 4).double())
    assert all(value == value for value in at.values())
    module = trained(one("enc_init=random", "enc_init_scale=0", "epochs=20"))
    assert bool(torch.isfinite(module.enc_0).all())
    assert bool(torch.isfinite(module.lr_pred).all())


@pytest.mark.parametrize(
    "overrides",
    [["enc=mlp", "pred=mlp", "hidden=6"], ["pred=mlp", "hidden=6"]],
    ids=["mlp", "half"],
)
def test_mlps_follow_the_rule_of_linear_maps(overrides: list[str]) -> None:
    config = one(
        *overrides, "epochs=100", "ema_m=0.9", "auto_memory=100000", "auto_refresh_every=1"
    )
    module = LinearBYOL([config])
    moments = []
    for step in range(1, 31):
        weights = [w.data.clone() for w in module.weights("enc")]
        module.training_step(Block(step, step))
        x = module._chunk(module.groups[0], 0)[0][step - 1]
        z = x @ weights[0][0].T
        z = torch.tanh(z + weights[1][0]) @ weights[2][0].T if len(weights) == 3 else z
        moments.append(z.T @ z / len(z))
    h = float(torch.linalg.eigvalsh(torch.stack(moments).mean(0))[-1])
    assert float(module.h) == pytest.approx(h, rel=0.02)
    assert float(module.lr_pred) == pytest.approx(0.4 * 0.1 / float(module.h), rel=1e-9)


def test_rates_are_constant_between_two_refreshes() -> None:
    module = LinearBYOL([one("auto_refresh_every=10")])
    rates_used: list[Any] = []
    for step in range(1, 32):
        module.training_step(Block(step, step))
        rates_used.append(float(module.lr_pred))
    changes = [step for step in range(2, 32) if rates_used[step - 1] != rates_used[step - 2]]
    assert changes == [11, 21, 31]


def test_logging_changes_no_rate() -> None:
    often, never = trained(one("epochs=130"), 1), trained(one("epochs=130"), 1000)
    for name in ("h", "lr_pred", "lr_enc", "enc_0", "pred_0", "second_moment"):
        assert torch.equal(getattr(often, name), getattr(never, name)), name


def test_few_power_iterations_from_the_last_direction_are_enough() -> None:
    s = state_of(with_h(10))
    c = torch.tensor([0.4]).double()
    for step in range(1, 6):
        update_rates(s, with_h(10)[None], step, one_each_step, c, c)
    assert ITERATIONS < 5
    assert float(s["h"]) == pytest.approx(10, rel=1e-9)


one_each_step = one("auto_refresh_every=1")
