"""DINO's loss: closed forms, its minimum, the arithmetic of the centre, and the two kinds of
collapse."""

import math

import pytest
import torch

from jepa_lab.losses import DinoLoss, MismatchedSharpening
from jepa_lab.metrics import distribution_statistics
from jepa_lab.networks.prototypes import PrototypeHead


def test_dino_loss_matches_the_formula() -> None:
    student, teacher = torch.randn(6, 5), torch.randn(6, 5)
    loss = DinoLoss(5, student_temp=0.2, teacher_temp=0.5)
    loss.center.copy_(torch.randn(5))
    p = torch.softmax((teacher - loss.center) / 0.5, dim=1)
    expected = torch.stack(
        [-(p[i] * torch.log(torch.softmax(student[i] / 0.2, dim=0))).sum() for i in range(6)]
    ).mean()
    out = loss(student, teacher)
    entropy = -(p * p.log()).sum(1).mean()
    assert torch.allclose(out.total, expected)
    assert torch.allclose(out.terms["teacher_entropy"], entropy)
    assert torch.allclose(out.terms["kl"], expected - entropy)


def test_the_lowest_loss_with_a_uniform_teacher_is_ln_k() -> None:
    loss = DinoLoss(8).eval()
    assert float(loss(torch.zeros(4, 8), torch.zeros(4, 8)).total) == pytest.approx(math.log(8))
    assert float(loss(torch.randn(4, 8), torch.zeros(4, 8)).total) > math.log(8)


def test_the_loss_is_lowest_where_both_distributions_are_equal() -> None:
    teacher = torch.randn(3, 7, dtype=torch.float64)
    loss = DinoLoss(7, student_temp=0.1, teacher_temp=0.5).double().eval()
    best = (teacher / 0.5 * 0.1).requires_grad_()  # so that both distributions are equal
    out = loss(best, teacher)
    (gradient,) = torch.autograd.grad(out.total, best)
    assert float(gradient.abs().max()) < 1e-12
    assert float(out.terms["kl"].detach()) == pytest.approx(0, abs=1e-12)
    assert all(
        float(loss(best.detach() + 0.1 * torch.randn(3, 7), teacher).total)
        > float(out.total.detach())
        for _ in range(5)
    )


def test_only_the_student_has_a_gradient_and_shifted_logits_are_equal() -> None:
    student, teacher = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    loss = DinoLoss(5).eval()
    loss(student, teacher).total.backward()
    assert student.grad is not None
    assert teacher.grad is None
    assert torch.allclose(
        loss(student + 3.0, teacher).total, loss(student, teacher).total, atol=1e-5
    )


def test_the_centre_is_used_first_then_moved_in_training_only() -> None:
    loss, teacher = DinoLoss(3, center_ema_decay=0.75), torch.randn(10, 3) + 2
    fresh = float(DinoLoss(3).eval()(torch.zeros(10, 3), teacher).terms["teacher_entropy"])
    assert float(loss(torch.zeros(10, 3), teacher).terms["teacher_entropy"]) == pytest.approx(fresh)
    assert torch.allclose(loss.center, 0.25 * teacher.mean(0))
    loss(torch.zeros(10, 3), teacher)
    assert torch.allclose(loss.center, (0.75 * 0.25 + 0.25) * teacher.mean(0))
    before = loss.eval().center.clone()
    loss(torch.zeros(10, 3), teacher)
    assert torch.equal(loss.center, before)


def test_a_held_centre_moves_once_per_step_unless_the_step_is_skipped() -> None:
    held, whole = DinoLoss(3, hold=True), DinoLoss(3)
    a, b = torch.randn(4, 3), torch.randn(12, 3)
    for part in (a, b):
        held(torch.zeros(len(part), 3), part)
        assert not held.center.any()
    held.update_center()
    whole(torch.zeros(16, 3), torch.cat([a, b]))
    assert torch.allclose(held.center, whole.center)
    before = held.center.clone()
    held(torch.zeros(4, 3), a)
    held.forget()
    held.update_center()
    assert torch.equal(held.center, before)
    assert "_sum" not in held.state_dict()


def test_the_mutual_information_is_0_in_both_collapses_and_ln_k_for_an_even_spread() -> None:
    k = 6
    uniform = distribution_statistics(torch.full((30, k), 1 / k))
    same = distribution_statistics(torch.eye(k)[:1].repeat(30, 1))
    spread = distribution_statistics(torch.eye(k).repeat(5, 1))
    assert float(uniform["mutual_information"]) == pytest.approx(0, abs=1e-12)
    assert float(uniform["mean_entropy"]) == pytest.approx(math.log(k))
    assert float(same["mutual_information"]) == 0
    assert float(same["entropy_of_mean"]) == 0
    assert float(same["prototype_usage"]) == pytest.approx(1 / k)
    assert float(spread["mutual_information"]) == pytest.approx(math.log(k))
    assert float(spread["prototype_usage"]) == 1


def test_wrong_shapes_raise() -> None:
    with pytest.raises(ValueError, match=r"expected two \(n, 4\) tensors"):
        DinoLoss(4)(torch.randn(3, 5), torch.randn(3, 5))
    with pytest.raises(ValueError, match="probabilities"):
        distribution_statistics(torch.randn(3))


def test_dino_loss_is_float32_under_autocast() -> None:
    student, teacher = torch.randn(4, 5), torch.randn(4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = DinoLoss(5).eval()(student.bfloat16(), teacher.bfloat16()).total
    assert out.dtype == torch.float32


def test_the_published_sharpening_is_above_0_for_equal_inputs() -> None:
    z = torch.randn(50, 16)
    assert float(MismatchedSharpening(16).eval()(z, z).total) > 0.2


def test_the_heads_logits_are_cosines() -> None:
    head = PrototypeHead(10, prototypes=7, hidden=12, bottleneck=5)
    out = head(100 * torch.randn(20, 10))
    assert out.shape == (20, 7)
    assert float(out.detach().abs().max()) <= 1 + 1e-5


def test_a_row_that_is_not_finite_never_moves_the_centre() -> None:
    loss = DinoLoss(3)
    loss(torch.zeros(4, 3), torch.randn(4, 3))
    before = loss.center.clone()
    loss(torch.zeros(4, 3), torch.full((4, 3), math.nan))
    assert torch.equal(loss.center, before)


@pytest.mark.parametrize(
    "options", [{"student_temp": 0.0}, {"teacher_temp": -1.0}, {"center_ema_decay": 1.5}]
)
def test_temperatures_and_decay_out_of_range_raise(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        DinoLoss(4, **options)


def test_the_heads_logits_are_float32_under_autocast() -> None:
    head = PrototypeHead(10, prototypes=7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(torch.randn(4, 10)).dtype == torch.float32
