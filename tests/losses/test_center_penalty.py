"""The centre penalty: its published formula, its centre, and its value for collapsed features."""

from __future__ import annotations

import pytest
import torch

from jepa_lab.losses import CenterPenalty


def test_center_penalty_matches_the_published_formula() -> None:
    loss, center = CenterPenalty(4, center_ema_decay=0.9), torch.zeros(4)
    for _ in range(3):
        z = torch.randn(6, 4, requires_grad=True)
        published = ((z.mean(dim=0) - center) ** 2).sum()
        ours = loss(z).total
        assert torch.allclose(ours, published)
        (a,), (b,) = torch.autograd.grad(ours, z), torch.autograd.grad(published, z)
        assert torch.allclose(a, b)
        center = 0.9 * center + 0.1 * z.detach().mean(dim=0)
    assert torch.allclose(loss.center, center)


def test_the_centre_does_not_move_in_evaluation_or_while_held() -> None:
    loss = CenterPenalty(2).eval()
    loss(torch.ones(3, 2))
    assert not loss.center.any()
    held = CenterPenalty(2, center_ema_decay=0.5, hold=True)
    held(torch.ones(3, 2))
    held(2 * torch.ones(2, 2))
    assert not held.center.any()
    held.end_step(skipped=False)
    assert torch.allclose(held.center, torch.full((2,), 0.5 * 7 / 5))
    held(torch.ones(3, 2))
    held.end_step(skipped=True)
    assert torch.allclose(held.center, torch.full((2,), 0.5 * 7 / 5))


def test_a_constant_embedding_reaches_a_penalty_of_0() -> None:
    loss, z = CenterPenalty(64), torch.full((8, 64), 3.0)
    values = [float(loss(z).total) for _ in range(60)]
    assert values[0] == pytest.approx(576)
    assert values[-1] < 0.01


def test_row_order_has_no_effect_and_wrong_shapes_raise() -> None:
    z, loss = torch.randn(9, 3), CenterPenalty(3).eval()
    assert torch.allclose(loss(z).total, loss(z.flip(0)).total)
    for shape in [(1, 3), (4, 2), (3,)]:
        with pytest.raises(ValueError, match="expected"):
            loss(torch.zeros(shape))


def test_rows_of_a_skipped_step_are_in_no_buffer_and_have_no_effect() -> None:
    loss = CenterPenalty(3)
    loss.hold = True
    before = {name: buffer.clone() for name, buffer in loss.named_buffers()}
    loss(torch.ones(4, 3))
    assert all(torch.equal(buffer, before[name]) for name, buffer in loss.named_buffers())
    loss.end_step(skipped=True)
    loss(torch.full((4, 3), 2.0))
    loss.end_step(skipped=False)
    expected = (1 - loss.center_ema_decay) * 2.0
    assert torch.allclose(loss.center, torch.full((3,), expected))
