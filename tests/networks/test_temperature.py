"""The learned temperature: its initial value, its bounds, and its gradient."""

import math

import pytest
import torch

from jepa_lab.errors import UserError
from jepa_lab.networks.temperature import Temperature


def gradient(temperature: Temperature) -> float:
    temperature.raw.grad = None
    temperature().backward()
    assert temperature.raw.grad is not None
    return float(temperature.raw.grad)


@pytest.mark.parametrize("bound", ["soft", "clamp"])
def test_the_temperature_starts_at_init(bound: str) -> None:
    temperature = Temperature(0.1, 0.05, 0.5, bound=bound)
    assert float(temperature().detach()) == pytest.approx(0.1, rel=1e-5)
    assert not temperature.clamped


def test_soft_bound_is_a_sigmoid_between_the_logs_of_the_bounds() -> None:
    temperature = Temperature(0.1, 0.02, 0.5)
    for raw in (-3.0, 0.0, 1.5):
        temperature.raw.data.fill_(raw)
        expected = math.exp(math.log(0.02) + math.log(25) / (1 + math.exp(-raw)))
        assert float(temperature().detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("init", "sign"), [(0.07, -1), (0.15, 1)])
def test_soft_bound_starts_inside_and_recovers_from_outside(init: float, sign: int) -> None:
    temperature = Temperature(init, 0.07, 0.15)
    assert 0.07 < float(temperature().detach()) < 0.15
    assert float(temperature().detach()) == pytest.approx(init, rel=1e-3)
    assert temperature.clamped
    temperature.raw.data.fill_(sign * 20.0)
    assert gradient(temperature) > 1e-5
    assert 0.07 <= float(temperature().detach()) <= 0.15 + 1e-6
    optimiser = torch.optim.Adam(temperature.parameters(), lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        (temperature() - 0.1).square().backward()
        optimiser.step()
    assert float(temperature().detach()) == pytest.approx(0.1, abs=5e-3)
    assert not temperature.clamped


def test_clamp_bound_has_no_gradient_outside_the_bounds_as_published() -> None:
    temperature = Temperature(0.07, 0.05, 0.15, bound="clamp")
    assert gradient(temperature) == pytest.approx(0.07, rel=1e-5)  # d exp(x) / dx
    for raw, at in ((math.log(0.04), 0.05), (math.log(0.2), 0.15)):
        temperature.raw.data.fill_(raw)
        assert float(temperature().detach()) == pytest.approx(at)
        assert gradient(temperature) == 0.0
        assert temperature.clamped


def test_soft_bound_counts_as_clamped_within_1_percent_of_the_log_range() -> None:
    temperature, span = Temperature(0.1, 0.05, 0.5), math.log(10)
    for share, clamped in ((0.009, True), (0.011, False), (0.989, False), (0.991, True)):
        temperature.raw.data.fill_(math.log(share / (1 - share)))
        assert float(temperature().detach()) == pytest.approx(
            0.05 * math.exp(share * span), rel=1e-4
        )
        assert bool(temperature.clamped) == clamped


@pytest.mark.parametrize("bound", ["soft", "clamp"])
def test_a_fixed_temperature_has_no_gradient_and_ignores_bounds(bound: str) -> None:
    temperature = Temperature(2.0, 0.5, 0.1, learn=False, bound=bound)
    assert float(temperature()) == pytest.approx(2.0)
    assert not any(p.requires_grad for p in temperature.parameters())
    assert not temperature.clamped


@pytest.mark.parametrize(
    ("init", "low", "high", "bound", "message"),
    [
        (0.1, 0.3, 0.3, "soft", r"temperature\.min=0\.3: .* loss\.temperature\.max=0\.3"),
        (0.1, 0.0, 0.3, "soft", r"temperature\.min=0\.0"),
        (
            0.01,
            0.03,
            0.3,
            "soft",
            r"temperature\.init=0\.01: must lie between min=0\.03 and max=0\.3",
        ),
        (0.5, 0.03, 0.3, "clamp", r"temperature\.init=0\.5"),
        (0.0, 0.03, 0.3, "soft", "above 0"),
        (0.1, 0.03, 0.3, "hard", r"temperature\.bound=hard: one of soft, clamp"),
    ],
)
def test_invalid_bounds_raise(
    init: float, low: float, high: float, bound: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Temperature(init, low, high, bound=bound)
