"""Metrics of codebooks and prototypes: closed forms, invariances, degenerate cases."""

import math

import pytest
import torch

from jepa_lab.metrics import (
    Distributions,
    assignment_churn,
    code_norms,
    codebook_churn,
    dead_code_age,
    distribution_statistics,
    kl,
    loss_over_ln_k,
    prototype_usage,
    quantisation_error,
    teacher_entropy,
)


def test_dead_code_age_is_the_mean_time_since_the_last_use() -> None:
    assert float(dead_code_age(torch.tensor([10, 8, 0]), step=10)) == pytest.approx(4.0)
    assert float(dead_code_age(torch.tensor([0, 8, 10]), step=10)) == pytest.approx(4.0)
    assert float(dead_code_age(torch.full((5,), 7), step=7)) == 0.0
    with pytest.raises(ValueError, match="10 or later"):
        dead_code_age(torch.tensor([10, 2]), step=9)


def test_code_norms_detect_a_code_of_growing_length() -> None:
    codes = torch.tensor([[3.0, 4.0], [0.0, 5.0], [5.0, 0.0], [50.0, 0.0], [0.0, 0.0]])
    values = {name: float(value) for name, value in code_norms(codes).items()}
    assert values == pytest.approx(
        {"mean": 13.0, "median": 5.0, "min": 0.0, "max": 50.0, "spread": 10.0}
    )
    assert float(code_norms(1e-9 * codes)["spread"]) == pytest.approx(10.0)
    assert float(code_norms(torch.zeros(4, 2))["spread"]) == 0.0
    with pytest.raises(ValueError, match=r"\(3,\)"):
        code_norms(torch.zeros(3))


def test_churn_is_the_share_of_inputs_that_changed_their_code() -> None:
    before = torch.tensor([0, 1, 2, 3])
    assert float(assignment_churn(before, torch.tensor([0, 1, 3, 2]))) == 0.5
    assert float(assignment_churn(before, before.to(torch.int32))) == 0.0
    assert float(assignment_churn(before.flip(0), torch.tensor([2, 3, 1, 0]))) == 0.5
    with pytest.raises(ValueError, match="integers"):
        assignment_churn(before, before.float())
    with pytest.raises(ValueError, match=r"\(4,\) and \(3,\)"):
        assignment_churn(before, before[:3])


def test_codebook_churn_is_zero_for_shifted_and_one_for_swapped_codes() -> None:
    z = torch.cat([torch.randn(50, 2) + 20, torch.randn(50, 2) - 20])
    book = torch.tensor([[20.0, 20.0], [-20.0, -20.0]])
    assert float(codebook_churn(z, book, book + 1.0)) == 0.0
    assert float(codebook_churn(z, book, book.flip(0))) == 1.0
    # all inputs of the second code are now nearest to the first
    beside = torch.tensor([[20.0, 20.0], [21.0, 21.0]])
    assert float(codebook_churn(z[50:], book, beside)) == 1.0
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(1, 2\)"):
        codebook_churn(z, book, book[:1])
    with pytest.raises(ValueError, match="indices"):
        codebook_churn(z[:0], book, book)


def test_quantisation_error_is_relative_to_the_variance_of_the_inputs() -> None:
    z = torch.randn(200, 5, dtype=torch.float64) + 3
    assert float(quantisation_error(z, z)) == 0.0
    assert float(quantisation_error(z, z.mean(0).expand_as(z))) == pytest.approx(1.0)
    q = z + 0.1 * torch.randn_like(z)
    assert float(quantisation_error(100 * z + 5, 100 * q + 5)) == pytest.approx(
        float(quantisation_error(z, q))
    )
    assert math.isinf(float(quantisation_error(torch.ones(4, 2), torch.zeros(4, 2))))
    with pytest.raises(ValueError, match="one shape"):
        quantisation_error(z, z[:1])


def test_entropy_of_the_teacher_is_zero_for_one_hot_and_ln_k_for_uniform_rows() -> None:
    assert float(teacher_entropy(torch.eye(5))) == 0.0
    assert float(teacher_entropy(torch.full((3, 8), 1 / 8))) == pytest.approx(math.log(8))
    p = torch.randn(20, 6).softmax(1)
    assert float(teacher_entropy(p[:, torch.randperm(6)])) == pytest.approx(
        float(teacher_entropy(p))
    )


def test_kl_is_the_cross_entropy_minus_the_teachers_entropy() -> None:
    p, q = torch.randn(30, 6).double().softmax(1), torch.randn(30, 6).double().softmax(1)
    cross = float(-(p * q.log()).sum(1).mean())
    assert float(kl(p, q)) == pytest.approx(cross - float(teacher_entropy(p)))
    assert float(kl(p, p)) == 0.0
    assert float(kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25, 0.75]]))) == pytest.approx(
        math.log(4)
    )
    assert math.isinf(float(kl(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]))))
    with pytest.raises(ValueError, match="one shape"):
        kl(p, q[:3])


def test_prototype_usage_counts_columns_that_are_largest_in_a_row() -> None:
    assert float(prototype_usage(torch.eye(4)[:3])) == 0.75
    assert float(prototype_usage(torch.eye(4)[:1].repeat(50, 1))) == 0.25
    assert float(prototype_usage(torch.eye(4)[torch.randperm(4)])) == 1.0


def test_a_uniform_student_has_a_loss_of_ln_k() -> None:
    assert float(loss_over_ln_k(torch.tensor(math.log(64)), 64)) == pytest.approx(1.0, rel=1e-6)
    assert float(loss_over_ln_k(0.0, 64)) == 0.0
    with pytest.raises(ValueError, match="at least 2"):
        loss_over_ln_k(1.0, 1)


def test_distributions_in_batches_equal_those_of_all_rows() -> None:
    p = (4 * torch.randn(100, 12)).softmax(1)
    streamed = Distributions()
    for rows in p.split(30):
        streamed.update(rows)
    expected = {name: float(value) for name, value in distribution_statistics(p).items()}
    assert {name: float(value) for name, value in streamed.values().items()} == pytest.approx(
        expected, rel=1e-12
    )
    assert expected["prototype_usage"] == float(prototype_usage(p))
    with pytest.raises(ValueError, match="over 12 prototypes"):
        streamed.update(p[:, :5])
    with pytest.raises(ValueError, match="no rows"):
        Distributions().values()
