"""Rounding in metrics: offsets, scales, constants, and the noise of a decomposition."""

import math

import pytest
import torch

from jepa_lab.metrics import (
    Spectrum,
    alpha_req,
    coordinate_participation,
    effective_rank,
    eigenvalue_ratio,
    explained_variance,
    feature_std,
    feature_std_l2,
    invariance_error,
    lidar,
    mean_pairwise_cosine,
    r2_per_dim,
    rankme,
    subspace_overlap,
    uniformity,
    within_share,
)


@pytest.mark.parametrize("offset", [1e4, 1e7])
def test_a_huge_offset_does_not_change_a_centred_rank(offset: float) -> None:
    z = torch.randn(300, 16, dtype=torch.float64)
    assert float(effective_rank(z + offset)) == pytest.approx(float(effective_rank(z)), rel=1e-6)
    assert float(feature_std(z + offset)) == pytest.approx(float(feature_std(z)), rel=1e-6)


@pytest.mark.parametrize(
    "metric", [feature_std_l2, mean_pairwise_cosine, uniformity, effective_rank, rankme]
)
@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_metrics_of_directions_are_the_same_at_any_scale(metric: object, scale: float) -> None:
    z = torch.randn(100, 8, dtype=torch.float64) + 0.5
    assert float(metric(z * scale)) == pytest.approx(float(metric(z)), rel=1e-9)  # type: ignore[operator]


def test_rounding_errors_do_not_count_as_directions() -> None:
    z = torch.randn(600, 1, dtype=torch.float64) @ torch.randn(1, 256, dtype=torch.float64)
    assert float(rankme(z)) == pytest.approx(1.0, abs=1e-9)
    assert float(effective_rank(z)) == pytest.approx(1.0, abs=1e-9)
    assert float(eigenvalue_ratio(z)) == 0.0


@pytest.mark.parametrize("value", [0.1, 1 / 3, -1e4 / 7])
def test_a_constant_that_is_no_binary_fraction_has_no_variance(value: float) -> None:
    z = torch.full((37, 3, 5), value, dtype=torch.float64)
    assert float(within_share(z)) == 0.0
    assert float(lidar(z)) == 1.0
    assert float(feature_std(z[:, 0])) == 0.0
    assert float(effective_rank(z[:, 0])) == 1.0
    assert float(explained_variance(z[:, 0], 1)) == 1.0
    assert torch.isnan(r2_per_dim(z[:, 0], z[:, 0])).all()


def test_lidar_of_equal_views_is_the_effective_rank_of_the_images() -> None:
    image = torch.randn(50, 1, 8, dtype=torch.float64) * torch.arange(1, 9)
    assert float(lidar(image.expand(50, 3, 8))) == pytest.approx(
        float(effective_rank(image[:, 0])), rel=1e-9
    )


def test_r2_is_defined_for_a_target_with_a_large_mean() -> None:
    y = torch.randn(500, 3, dtype=torch.float64) + 1e7
    assert r2_per_dim(y, y).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_r2_is_nan_for_a_target_that_varies_only_by_float32_rounding() -> None:
    angle = torch.rand(400, 1) * 6
    y = angle.sin().square() + angle.cos().square()
    assert float(y.std()) > 0
    assert torch.isnan(r2_per_dim(y, torch.ones_like(y))).all()


def test_uniformity_in_blocks_matches_the_formula_over_all_pairs() -> None:
    z = torch.randn(1500, 6, dtype=torch.float64)
    pairs = torch.pdist(torch.nn.functional.normalize(z, dim=1))
    assert float(uniformity(z)) == pytest.approx(
        float((-2 * pairs.square()).exp().mean().log()), rel=1e-9
    )


def test_zero_rows_have_cosine_0_and_a_finite_uniformity() -> None:
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    assert float(mean_pairwise_cosine(z)) == pytest.approx(1 / 3)
    assert math.isfinite(float(uniformity(z)))


def test_invariance_error_of_a_zero_base_is_infinite_or_0_without_change() -> None:
    zero = torch.zeros(4, 3)
    assert float(invariance_error(zero, zero)) == 0.0
    assert math.isinf(float(invariance_error(zero, zero + 1)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_precision_gives_a_float64_scalar_without_gradient(dtype: torch.dtype) -> None:
    z = torch.randn(40, 6).to(dtype).requires_grad_()
    for metric in (rankme, effective_rank, feature_std_l2, uniformity, mean_pairwise_cosine):
        value = metric(z)
        assert (value.dtype, value.ndim, value.requires_grad) == (torch.float64, 0, False)


def test_all_metrics_accept_a_spectrum_instead_of_features() -> None:
    z = torch.randn(80, 6) + 2
    spectrum = Spectrum.of(z)
    assert spectrum.mean.tolist() == pytest.approx(z.double().mean(0).tolist())
    for metric in (rankme, effective_rank, eigenvalue_ratio):
        assert float(metric(spectrum)) == float(metric(z))
    assert float(explained_variance(spectrum, 2)) == float(explained_variance(z, 2))


def test_alpha_req_skips_empty_directions_and_rejects_a_reversed_range() -> None:
    z = torch.zeros(300, 60)
    z[:, :15] = torch.randn(300, 15)
    assert math.isnan(float(alpha_req(z)))
    with pytest.raises(ValueError, match=r"\(9, 3\)"):
        alpha_req(z, (9, 3))


def test_invalid_bases_and_k_raise() -> None:
    with pytest.raises(ValueError, match="not orthonormal"):
        subspace_overlap(torch.ones(6, 2), torch.eye(6)[:, :2])
    with pytest.raises(ValueError, match=r"\(6, 1\) is zero"):
        coordinate_participation(torch.zeros(6, 1))
    with pytest.raises(ValueError, match=r"\(2, 6\)"):
        subspace_overlap(torch.ones(2, 6), torch.ones(2, 6))
    with pytest.raises(ValueError, match="at least 1"):
        explained_variance(torch.randn(9, 3), 0)
