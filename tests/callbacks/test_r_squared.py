import pytest
import torch
from sklearn.metrics import r2_score

from jepa_lab.callbacks.probes import RSquared


def test_r_squared_equals_scikit_learns_mean_over_dimensions_for_any_batches() -> None:
    y, noise = torch.randn(100, 3) * 4 + 100, torch.randn(100, 3)
    metric = RSquared(3)
    for rows in torch.arange(100).split(17):
        metric.update((y + noise)[rows], y[rows])
    assert float(metric.compute()) == pytest.approx(
        r2_score(y.numpy(), (y + noise).numpy()), abs=1e-5
    )


def test_a_constant_dimension_is_left_out_instead_of_counting_zero() -> None:
    y = torch.stack([torch.randn(50), torch.full((50,), 2.5)], dim=1)
    metric = RSquared(2)
    metric.update(y + torch.tensor([0.0, 0.3]), y)
    assert float(metric.compute()) == pytest.approx(1.0)


def test_predicting_the_mean_scores_zero() -> None:
    y = torch.randn(1000, 2)
    metric = RSquared(2)
    metric.update(y.mean(0).expand_as(y), y)
    assert float(metric.compute()) == pytest.approx(0.0, abs=1e-6)


def test_r_squared_of_constants_is_undefined() -> None:
    metric = RSquared(1)
    metric.update(torch.zeros(5, 1), torch.ones(5, 1))
    assert torch.isnan(metric.compute())
