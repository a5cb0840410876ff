import pytest
import torch

from jepa_lab.losses import constant_baseline_loss, cosine_prediction, skill


def test_prediction_loss_is_one_minus_the_mean_cosine() -> None:
    a, b = torch.randn(9, 5), torch.randn(9, 5)
    longhand = 1 - ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean()
    assert float(cosine_prediction(a, b)) == pytest.approx(float(longhand), rel=1e-5)


def test_the_loss_is_0_for_parallel_and_2_for_opposite_rows_at_any_scale() -> None:
    a = torch.randn(9, 5)
    assert float(cosine_prediction(a, 3 * a)) == pytest.approx(0.0, abs=1e-6)
    assert float(cosine_prediction(a, -0.1 * a)) == pytest.approx(2.0, abs=1e-6)


def test_a_zero_row_counts_as_orthogonal() -> None:
    assert float(cosine_prediction(torch.zeros(3, 4), torch.randn(3, 4))) == pytest.approx(1.0)


def test_the_gradient_to_both_sides_matches_finite_differences() -> None:
    a, b = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(cosine_prediction, (a, b))


def test_the_best_constant_reaches_the_closed_form() -> None:
    targets = torch.randn(200, 6) + torch.tensor([1.0, 0, 0, 0, 0, 0])
    best = float(constant_baseline_loss(targets))
    tried = [float(cosine_prediction(torch.randn(6).expand(200, 6), targets)) for _ in range(200)]
    optimum = torch.nn.functional.normalize(targets, dim=1).mean(0).expand(200, 6)
    assert min(tried) > best
    assert float(cosine_prediction(optimum, targets)) == pytest.approx(best, abs=1e-5)


def test_skill_is_1_if_perfect_and_0_for_the_best_constant() -> None:
    assert float(skill(0.0, 0.5)) == 1.0
    assert float(skill(0.5, 0.5)) == 0.0
    assert float(skill(1.0, 0.5)) == -1.0
    assert float(skill(1e-9, constant_baseline_loss(torch.ones(8, 3)))) == 0.0


def test_unequal_shapes_raise() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\) and \(4, 4\)"):
        cosine_prediction(torch.zeros(3, 4), torch.zeros(4, 4))
