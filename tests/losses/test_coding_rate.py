import math

import pytest
import torch

from jepa_lab.losses import RateLoss, coding_rate, normalise_features, resolve_alpha

N, D = 24, 6


def longhand(z: torch.Tensor, alpha: float, center: bool = False) -> torch.Tensor:
    z = z.double()
    z = z - z.mean(0) if center else z
    return torch.logdet(torch.eye(z.shape[1], dtype=torch.float64) + alpha / len(z) * z.T @ z)


@pytest.mark.parametrize("shape", [(24, 6), (6, 24), (7, 7), (1, 5)])
@pytest.mark.parametrize("center", [False, True])
def test_the_rate_is_the_log_determinant_for_wide_and_tall_features(
    shape: tuple[int, int], center: bool
) -> None:
    z = torch.randn(shape)
    assert float(coding_rate(z, 2.0, center)) == pytest.approx(
        float(longhand(z, 2.0, center)), rel=1e-4, abs=1e-4
    )


def test_orthonormal_features_with_unit_covariance_have_rate_d_ln_2() -> None:
    z = torch.linalg.qr(torch.randn(N, D, dtype=torch.float64))[0] * math.sqrt(N)
    assert float(coding_rate(z)) == pytest.approx(D * math.log(2))


def test_one_direction_of_variance_v_has_rate_ln_1_plus_v() -> None:
    z = (
        torch.ones(N, 1, dtype=torch.float64)
        * math.sqrt(3.5)
        * torch.eye(D, dtype=torch.float64)[2]
    )
    assert float(coding_rate(z)) == pytest.approx(math.log(4.5))
    assert float(coding_rate(z, center=True)) == pytest.approx(0.0, abs=1e-9)


def test_the_rate_is_0_for_zero_features_and_never_negative() -> None:
    assert float(coding_rate(torch.zeros(N, D))) == 0.0
    assert float(coding_rate(torch.randn(N, D) * 1e-4)) >= 0.0


def test_rotation_and_row_order_do_not_change_the_rate() -> None:
    z = torch.randn(N, D, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(D, D, dtype=torch.float64))[0]
    assert float(coding_rate(z @ rotation)) == pytest.approx(float(coding_rate(z)))
    assert float(coding_rate(z[torch.randperm(N)])) == pytest.approx(float(coding_rate(z)))


@pytest.mark.parametrize("shape", [(8, 4), (4, 8)])
def test_the_gradient_is_that_of_the_log_determinant(shape: tuple[int, int]) -> None:
    z = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: coding_rate(x, 1.5), z)
    (ours,) = torch.autograd.grad(coding_rate(z, 1.5), z)
    n, d = shape
    inverse = torch.linalg.inv(torch.eye(d, dtype=z.dtype) + 1.5 / n * z.T @ z)
    assert torch.allclose(ours, 2 * 1.5 / n * z @ inverse, atol=1e-9)


def test_the_rate_is_float32_under_autocast() -> None:
    z = torch.randn(N, D)
    with torch.autocast("cpu", torch.bfloat16):
        rate = coding_rate(z.bfloat16().float())
        low = coding_rate(z.bfloat16())
    assert rate.dtype == torch.float32
    assert float(low) == pytest.approx(float(longhand(z.bfloat16().float(), 1.0)), rel=1e-5)


def test_scale_raises_the_rate_unless_features_are_normalised() -> None:
    z = torch.randn(N, D)
    assert float(coding_rate(10 * z)) > float(coding_rate(z)) + D
    for how in ("rows", "trace"):
        big, small = (coding_rate(normalise_features(c * z, how)) for c in (10.0, 0.1))
        assert float(big) == pytest.approx(float(small), rel=1e-4)


@pytest.mark.parametrize("how", ["rows", "trace"])
def test_normalised_features_have_mean_square_norm_d(how: str) -> None:
    z = normalise_features(torch.randn(N, D) * 7 + 2, how)
    assert float(z.square().sum(1).mean()) == pytest.approx(D, rel=1e-4)


def test_trace_normalisation_after_centring_fixes_the_covariance_trace() -> None:
    z = normalise_features(torch.randn(N, D) + 30, "trace", center=True)
    assert float((z - z.mean(0)).square().sum(1).mean()) == pytest.approx(D, rel=1e-3)


def test_auto_alpha_gives_the_rate_of_unit_rows_at_d_over_eps_squared() -> None:
    z = torch.randn(N, D)
    unit = torch.nn.functional.normalize(z, dim=1)
    rows = normalise_features(z, "rows")
    assert float(coding_rate(rows, resolve_alpha("auto", D, "rows"))) == pytest.approx(
        float(longhand(unit, D / 0.25)), rel=1e-4
    )
    assert resolve_alpha("auto", D, "none") == D / 0.25
    assert resolve_alpha(0.3, D, "none") == 0.3


def test_the_regulariser_is_minus_the_rate_of_its_target() -> None:
    z_agg, z = torch.randn(8, 5), torch.randn(8, 3, 4)
    agg, views = coding_rate(z_agg), coding_rate(z.reshape(24, 4))
    assert float(RateLoss("z_agg")(z_agg, z)) == pytest.approx(-float(agg))
    assert float(RateLoss("z")(z_agg, z)) == pytest.approx(-float(views))
    assert float(RateLoss("both")(z_agg, z)) == pytest.approx(-float(agg + views))


def test_wrong_shapes_and_values_raise_an_error_with_the_value() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        coding_rate(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="alpha"):
        coding_rate(torch.zeros(2, 3), alpha=0.0)
    with pytest.raises(ValueError, match="columns"):
        normalise_features(torch.zeros(2, 3), "columns")
    with pytest.raises(ValueError, match="z_hat"):
        RateLoss("z_hat")
