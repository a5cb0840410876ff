import math

import pytest
import torch
import torch.nn.functional as F

from jepa_lab.metrics import (
    alignment,
    collapse_metrics,
    coordinate_participation,
    explained_variance,
    feature_std,
    feature_std_l2,
    invariance_error,
    lidar,
    mean_norm,
    mean_pairwise_cosine,
    perplexity,
    r2_per_dim,
    subspace_overlap,
    uniformity,
    usage,
    view_metrics,
    within_share,
)


def test_feature_std_is_the_mean_of_the_columns_standard_deviations() -> None:
    z = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
    assert float(feature_std(z)) == pytest.approx((math.sqrt(2) + math.sqrt(8)) / 2)
    assert float(feature_std(3 * z)) == pytest.approx(3 * float(feature_std(z)))


def test_l2_spread_is_near_one_on_the_sphere_and_zero_for_one_direction() -> None:
    assert float(feature_std_l2(torch.randn(5000, 32))) == pytest.approx(1.0, abs=0.02)
    assert float(feature_std_l2(torch.rand(50, 1) * torch.randn(1, 32))) == pytest.approx(
        0.0, abs=1e-6
    )
    assert float(feature_std_l2(torch.randn(100, 8) * 1e-6)) > 0.5


def test_pairwise_cosine_is_the_mean_of_the_matrix_without_its_diagonal() -> None:
    z = torch.randn(30, 4, dtype=torch.float64) + 0.5
    u = F.normalize(z, dim=1)
    matrix = u @ u.T
    longhand = (matrix.sum() - matrix.diagonal().sum()) / (30 * 29)
    assert float(mean_pairwise_cosine(z)) == pytest.approx(float(longhand))
    assert float(mean_pairwise_cosine(torch.ones(5, 3))) == pytest.approx(1.0)


def test_norm_is_the_mean_length() -> None:
    assert float(mean_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))) == pytest.approx(3.0)


def test_alignment_is_zero_for_parallel_pairs_four_for_opposite_and_two_for_unrelated() -> None:
    x = torch.randn(4000, 64)
    assert float(alignment(x, 5 * x)) == pytest.approx(0.0, abs=1e-9)
    assert float(alignment(x, -x)) == pytest.approx(4.0)
    assert float(alignment(x, torch.randn(4000, 64))) == pytest.approx(2.0, abs=0.02)


def test_uniformity_is_zero_for_one_point_and_has_a_closed_form_for_two() -> None:
    assert float(uniformity(torch.ones(6, 3))) == pytest.approx(0.0)
    opposite = torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    assert float(uniformity(opposite)) == pytest.approx(-8.0)


def test_within_share_is_0_for_invariant_features_and_1_for_views_alone() -> None:
    image, view = torch.randn(2000, 1, 8), torch.randn(2000, 20, 8)
    assert float(within_share(image.expand(2000, 20, 8))) == pytest.approx(0.0, abs=1e-9)
    assert float(within_share(view - view.mean(1, keepdim=True))) == pytest.approx(1.0)
    assert float(within_share(image + view)) == pytest.approx(0.95 / 2, abs=0.01)
    assert float(within_share(torch.ones(3, 2, 4))) == 0.0


def test_a_large_mean_hides_a_change_from_invariance_error_only() -> None:
    z = torch.randn(500, 2, 8)
    assert float(invariance_error(z[:, 0] + 100, z[:, 1] + 100)) < 1e-3
    assert float(within_share(z + 100)) == pytest.approx(float(within_share(z)), rel=1e-6)
    assert float(invariance_error(z[:, 0], z[:, 0])) == 0.0


def test_lidar_counts_the_directions_that_distinguish_images() -> None:
    means = torch.zeros(3000, 1, 10)
    means[..., :4] = 20 * torch.randn(3000, 1, 4)
    z = means + torch.randn(3000, 5, 10)
    assert float(lidar(z)) == pytest.approx(4.0, abs=0.15)
    noise_only = torch.randn(3000, 5, 10)
    assert float(lidar(noise_only)) > 9.0


def test_lidar_ignores_scale_and_rotation_and_accepts_degenerate_views() -> None:
    z = torch.randn(200, 3, 6, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    assert float(lidar(z * 1e3)) == pytest.approx(float(lidar(z)), rel=1e-6)
    assert float(lidar(z @ rotation)) == pytest.approx(float(lidar(z)), rel=1e-6)
    assert float(lidar(torch.ones(5, 2, 3))) == 1.0
    assert float(lidar(torch.randn(50, 1, 4).expand(50, 2, 4))) > 3.0
    assert math.isfinite(float(lidar(torch.randn(5, 2, 40))))


def test_explained_variance_is_1_for_rank_k_and_ignores_the_mean() -> None:
    delta = torch.randn(100, 2) @ torch.randn(2, 9) + 50
    assert float(explained_variance(delta, 2)) == pytest.approx(1.0)
    assert float(explained_variance(torch.randn(5000, 10), 5)) == pytest.approx(0.5, abs=0.05)


def test_coordinate_participation_is_k_when_aligned_and_d_when_diffuse() -> None:
    assert float(coordinate_participation(torch.eye(8)[:, :3])) == pytest.approx(3.0)
    assert float(coordinate_participation(torch.full((16, 1), 0.25))) == pytest.approx(16.0)


def test_a_subspace_has_overlap_1_with_itself_and_0_with_its_complement() -> None:
    q = torch.linalg.qr(torch.randn(9, 9, dtype=torch.float64))[0]
    assert float(subspace_overlap(q[:, :2], q[:, :2])) == pytest.approx(1.0)
    assert float(subspace_overlap(q[:, :2], q[:, :5])) == pytest.approx(1.0)
    assert float(subspace_overlap(q[:, :2], q[:, 2:5])) == pytest.approx(0.0, abs=1e-12)


def test_r2_is_nan_where_the_target_is_constant_and_right_elsewhere() -> None:
    y = torch.stack([torch.arange(10.0), torch.full((10,), 3.0)], dim=1)
    score = r2_per_dim(y, y + torch.tensor([0.5, 0.5]))
    assert float(score[0]) == pytest.approx(1 - 10 * 0.25 / 82.5)
    assert torch.isnan(score[1])
    assert float(r2_per_dim(y, y.mean(0).expand_as(y))[0]) == pytest.approx(0.0)


def test_known_counts_have_known_perplexity_and_usage() -> None:
    assert float(perplexity(torch.tensor([5, 5, 5, 5]))) == pytest.approx(4.0)
    assert float(perplexity(torch.tensor([7, 0, 0]))) == pytest.approx(1.0)
    assert float(perplexity(torch.zeros(3))) == 1.0
    assert float(usage(torch.tensor([1, 0, 3, 0]))) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="not negative"):
        usage(torch.tensor([1, -1]))


def test_collapse_and_view_metrics_are_complete_and_match_the_functions() -> None:
    z = torch.randn(600, 12)
    values = collapse_metrics(z)
    assert values["n"] == 600
    assert values["feature_std_l2"] == pytest.approx(float(feature_std_l2(z)))
    assert values["uniformity"] == pytest.approx(
        float(uniformity(z[torch.linspace(0, 599, 512).long()]))
    )
    views = torch.randn(40, 3, 5)
    assert view_metrics(views)["lidar"] == pytest.approx(float(lidar(views)))
