"""Metrics of single coordinates and of the mean: closed forms, invariances, degenerate cases."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from jepa_lab.metrics import (
    Moments,
    collapse_metrics,
    coordinates,
    dead_share,
    drift,
    feature_std,
    feature_std_min,
    mean_to_std_ratio,
    nesum,
    off_diagonal_correlation,
    parameter_drift,
    stable_rank,
    top_share,
)

ALL = [dead_share, feature_std_min, mean_to_std_ratio, off_diagonal_correlation, top_share]
Metric = Callable[[torch.Tensor | Moments], torch.Tensor]


def signs(*std: float) -> torch.Tensor:
    """Returns (8, d) uncorrelated columns with mean 0 and exactly these (biased) standard
    deviations, d <= 3."""
    bits = torch.tensor(
        [[(i >> k & 1) * 2.0 - 1 for k in range(3)] for i in range(8)], dtype=torch.float64
    )
    return bits[:, : len(std)] * torch.tensor(std, dtype=torch.float64)


def test_closed_forms_of_three_uncorrelated_columns() -> None:
    z = signs(3.0, 1.0, 0.01)
    assert float(feature_std_min(z)) == pytest.approx(0.01 * math.sqrt(8 / 7))
    assert float(top_share(z)) == pytest.approx(9 / 10.0001)
    assert float(dead_share(z)) == pytest.approx(1 / 3)  # 0.01 < 1e-2 * sqrt(10.0001 / 3), 1 is not
    assert float(off_diagonal_correlation(z)) == pytest.approx(0.0, abs=1e-12)
    shifted = z + torch.tensor([0.0, 4.0, 3.0], dtype=torch.float64)
    assert float(mean_to_std_ratio(shifted)) == pytest.approx(5 / math.sqrt(10.0001))


def test_off_diagonal_correlation_matches_numpy_without_the_diagonal() -> None:
    z = torch.randn(60, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64) + 7
    matrix = np.abs(np.corrcoef(z.numpy(), rowvar=False))
    assert float(off_diagonal_correlation(z)) == pytest.approx((matrix.sum() - 5) / 20)


@pytest.mark.parametrize("shape", [(9, 20), (12, 16), (9, 2)])
def test_correlations_of_few_wide_rows_are_exact_in_tiles(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinates, "TILE", 7)
    z = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 7
    matrix = np.abs(np.corrcoef(z.numpy(), rowvar=False))
    d = shape[1]
    wanted = (matrix.sum() - d) / (d * (d - 1))
    assert float(off_diagonal_correlation(z)) == pytest.approx(wanted)


def test_the_matrix_of_all_dimensions_is_not_built_for_few_wide_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Moments, "scatter", property(lambda self: pytest.fail("(d, d) is built")))
    z = torch.randn(8, 60, generator=torch.Generator().manual_seed(0))
    assert 0 < float(off_diagonal_correlation(z)) < 1


def test_repeated_columns_have_correlation_1_and_dead_columns_are_ignored() -> None:
    x = torch.randn(50, 1)
    assert float(
        off_diagonal_correlation(torch.cat([x, -3 * x, 1e-3 * x], dim=1))
    ) == pytest.approx(1.0)
    assert float(
        off_diagonal_correlation(torch.cat([x, 2 * x, torch.ones(50, 5)], dim=1))
    ) == pytest.approx(1.0)
    assert float(off_diagonal_correlation(torch.cat([x, torch.ones(50, 5)], dim=1))) == 0.0


@pytest.mark.parametrize(
    "metric", [dead_share, mean_to_std_ratio, off_diagonal_correlation, top_share]
)
def test_metrics_do_not_depend_on_scale_or_on_the_order_of_rows_and_columns(metric: Metric) -> None:
    z = torch.randn(40, 6, dtype=torch.float64) * torch.tensor([1e-4, 1, 2, 3, 4, 5]) + 0.3
    for other in (z * 1e-20, z * 1e20, z.flip(0), z.flip(1)):
        assert float(metric(other)) == pytest.approx(float(metric(z)), rel=1e-9)
    assert float(feature_std_min(3 * z)) == pytest.approx(3 * float(feature_std_min(z)))


@pytest.mark.parametrize(
    "metric", [dead_share, feature_std_min, off_diagonal_correlation, top_share]
)
def test_only_the_mean_to_std_ratio_depends_on_a_large_mean(metric: Metric) -> None:
    z = torch.randn(80, 4, dtype=torch.float64)
    assert float(metric(z + 1e4)) == pytest.approx(float(metric(z)), rel=1e-7)
    assert float(mean_to_std_ratio(z + 1e4)) == pytest.approx(1e4, rel=0.2)


@pytest.mark.parametrize("value", [0.0, 1 / 3])
def test_all_metrics_are_defined_for_constant_features(value: float) -> None:
    z = torch.full((20, 4), value, dtype=torch.float64)
    assert float(dead_share(z)) == 1.0
    assert float(top_share(z)) == 1.0
    assert float(feature_std_min(z)) == 0.0
    assert float(off_diagonal_correlation(z)) == 0.0
    assert float(mean_to_std_ratio(z)) == (0.0 if value == 0 else math.inf)


def test_one_exploding_dimension_is_detected() -> None:
    z = torch.randn(500, 64)
    assert float(top_share(z)) < 0.05
    z[:, 5] *= 1e3
    assert float(top_share(z)) > 0.99
    assert float(dead_share(z)) == pytest.approx(63 / 64)


@pytest.mark.parametrize("metric", ALL)
def test_moments_and_rows_give_the_same_float64_scalar(metric: Metric) -> None:
    z = torch.randn(90, 7) + 1
    moments = Moments()
    for rows in z.split(20):
        moments.update(rows)
    value = metric(moments)
    assert float(value) == pytest.approx(float(metric(z)), rel=1e-12)
    assert (value.dtype, value.ndim, value.requires_grad) == (torch.float64, 0, False)


@pytest.mark.parametrize("metric", ALL)
def test_a_single_row_raises(metric: Metric) -> None:
    moments = Moments()
    moments.update(torch.randn(1, 3))
    with pytest.raises(ValueError, match="n >= 2"):
        metric(moments)
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        metric(torch.randn(1, 3))


def test_correlations_of_diagonal_moments_raise() -> None:
    moments = Moments(diagonal=True)
    moments.update(torch.randn(9, 3))
    with pytest.raises(ValueError, match="diagonal"):
        off_diagonal_correlation(moments)


def test_nesum_is_the_eigenvalue_sum_over_the_largest_eigenvalue() -> None:
    assert float(nesum(signs(3.0, 2.0, 1.0))) == pytest.approx(14 / 9)
    assert nesum is stable_rank


def test_collapse_metrics_agree_with_the_single_functions() -> None:
    z = torch.randn(300, 9) * torch.arange(1, 10) + 2
    values = collapse_metrics(z)
    for metric in (*ALL, nesum, feature_std):
        name = "nesum" if metric is nesum else metric.__name__
        assert values[name] == pytest.approx(float(metric(z)), rel=1e-9), name
    assert values["condition_number"] == pytest.approx(1 / values["eigenvalue_ratio"])
    assert values["top_direction_share"] == pytest.approx(1 / values["stable_rank"])
    assert values["top_direction_share"] >= values["top_share"]


def test_drift_is_the_distance_relative_to_the_students_length() -> None:
    student, teacher = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 9.0]])
    assert float(drift(student, teacher)) == pytest.approx(1.0)
    assert float(drift(7 * student, 7 * teacher)) == pytest.approx(1.0)
    assert float(drift(student, student)) == 0.0
    assert float(drift(torch.zeros(3), torch.zeros(3))) == 0.0
    assert math.isinf(float(drift(torch.zeros(3), torch.ones(3))))


def test_parameter_drift_is_that_of_one_vector_and_changes_no_input() -> None:
    student = [torch.randn(3, 4), torch.randn(5)]
    teacher = [x + 0.1 * torch.randn_like(x) for x in student]
    before = [x.clone() for x in teacher]
    flat = [torch.cat([x.flatten() for x in side]) for side in (student, teacher)]
    assert float(parameter_drift(student, teacher)) == pytest.approx(float(drift(*flat)), rel=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher, strict=True))
    with pytest.raises(ValueError, match="same shapes"):
        parameter_drift(student, teacher[:1])
