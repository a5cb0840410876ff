"""The coding rate at the limits of float32: huge scales, values that are not finite, almost
collapsed features."""

import math

import pytest
import torch

from jepa_lab.losses import (
    RateLoss,
    coding_rate,
    constant_baseline_loss,
    cosine_prediction,
    normalise_features,
    resolve_alpha,
)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_a_failed_float32_factorisation_is_repeated_in_float64(scale: float) -> None:
    z = scale * torch.randn(64, 3) @ torch.randn(3, 32)
    exact = (torch.linalg.svdvals(z.double()).square() / 64).log1p().sum()
    rate = coding_rate(z.requires_grad_())
    rate.backward()
    assert rate.dtype == torch.float32
    assert float(rate.detach()) == pytest.approx(float(exact), rel=1e-3)
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_rate_of_features_that_are_not_finite_is_nan(dtype: torch.dtype, value: float) -> None:
    for row, column in ((0, 0), (5, 3), (7, 5)):
        z = torch.randn(8, 6, dtype=dtype)
        z[row, column] = value
        assert math.isnan(float(coding_rate(z)))


@pytest.mark.parametrize("how", ["none", "rows", "trace"])
@pytest.mark.parametrize("center", [False, True])
def test_the_gradient_through_the_normalisation_is_right(how: str, center: bool) -> None:
    z = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: coding_rate(normalise_features(x, how, center), 2.0, center), (z,)
    )


@pytest.mark.parametrize("how", ["none", "rows", "trace"])
@pytest.mark.parametrize("center", [False, True])
def test_zero_features_have_rate_zero_and_a_finite_gradient(how: str, center: bool) -> None:
    z = torch.zeros(6, 4, requires_grad=True)
    rate = coding_rate(normalise_features(z, how, center), 1.0, center)
    rate.backward()
    assert float(rate.detach()) == 0.0
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


def test_trace_normalisation_does_not_scale_rounding_up() -> None:
    z = torch.full((64, 8), 1000.0) + 1e-4 * torch.randn(64, 8)  # float32 has steps of 6e-5 there
    assert float(coding_rate(normalise_features(z, "trace", center=True), center=True)) < 0.2
    healthy = torch.full((64, 8), 1000.0) + torch.randn(64, 8)
    assert float(coding_rate(normalise_features(healthy, "trace", center=True), center=True)) > 5.0


def test_centring_removes_the_rate_of_a_common_mean() -> None:
    z = torch.randn(200, 5, dtype=torch.float64)
    assert float(coding_rate(z + 50, center=True)) == pytest.approx(
        float(coding_rate(z, center=True))
    )
    assert float(coding_rate(z + 50)) > float(coding_rate(z)) + 1


def test_auto_alpha_is_the_same_for_both_normalisations() -> None:
    unit = torch.nn.functional.normalize(torch.randn(50, 8, dtype=torch.float64), dim=1)
    mcr2 = float(coding_rate(unit, resolve_alpha("auto", 8)))
    for how in ("rows", "trace"):
        assert float(RateLoss("z_agg", "auto", how)(unit, unit[:, None])) == pytest.approx(-mcr2)


@pytest.mark.parametrize(
    "wrong", [{"alpha": "automatic"}, {"alpha": -1.0}, {"normalise": "row"}, {"target": "z_t"}]
)
def test_a_regulariser_with_a_wrong_option_raises(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        RateLoss(**wrong)  # type: ignore[arg-type]


def test_short_rows_count_equally_in_prediction_loss_and_constant_baseline() -> None:
    z = torch.nn.functional.normalize(torch.randn(20, 4, dtype=torch.float64), dim=1) * 1e-9
    mean = torch.nn.functional.normalize(z.mean(0), dim=0).expand(20, 4)
    assert float(constant_baseline_loss(z)) == pytest.approx(float(cosine_prediction(mean, z)))
