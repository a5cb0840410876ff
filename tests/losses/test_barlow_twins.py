"""Barlow Twins and its single-batch part: the authors' code, closed forms, invariances, degenerate
batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from jepa_lab.losses import barlow_twins, decorrelation


def released(x: Tensor, y: Tensor, lambd: float, scale: float) -> Tensor:
    """Computes the loss of the authors' main.py: a batch norm without affine parameters, then the
    cross-correlation."""

    def off_diagonal(m: Tensor) -> Tensor:
        n, _ = m.shape
        return m.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten()

    bn = nn.BatchNorm1d(x.shape[1], affine=False).to(x.dtype)
    c = bn(x).T @ bn(y)
    c.div_(len(x))
    on_diag = torch.diagonal(c).add_(-1).pow_(2).sum()
    return scale * (on_diag + lambd * off_diagonal(c).pow_(2).sum())


def views(n: int = 12, d: int = 5) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, d, dtype=torch.float64) @ torch.randn(d, d, dtype=torch.float64)
    return x.requires_grad_(), (x.detach() + torch.randn_like(x)).requires_grad_()


@pytest.mark.parametrize(("lambda_param", "scale"), [(5e-3, 1.0), (0.0051, 0.024), (1.0, 1.0)])
def test_barlow_twins_matches_the_released_code_in_value_and_gradient(
    lambda_param: float, scale: float
) -> None:
    x, y = views()
    ours, theirs = (
        barlow_twins(x, y, lambda_param, scale).total,
        released(x, y, lambda_param, scale),
    )
    assert torch.allclose(ours, theirs, rtol=1e-12)
    for a, b in zip(
        torch.autograd.grad(ours, (x, y)), torch.autograd.grad(theirs, (x, y)), strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-13)


def test_the_terms_are_unweighted_and_add_up() -> None:
    out = barlow_twins(*views(), lambda_param=0.5, scale_loss=3.0)
    assert list(out.terms) == ["on_diagonal", "off_diagonal"]
    assert torch.allclose(
        out.total, 3.0 * (out.terms["on_diagonal"] + 0.5 * out.terms["off_diagonal"])
    )


def test_opposite_views_and_equal_features_match_the_closed_forms() -> None:
    x = torch.linalg.qr(torch.randn(40, 3, dtype=torch.float64) - 0.0)[0]
    x = torch.linalg.qr(x - x.mean(dim=0))[0] * 40**0.5  # zero mean, unit variance, uncorrelated
    assert float(barlow_twins(x, x).terms["on_diagonal"]) == pytest.approx(0.0, abs=1e-8)
    assert float(barlow_twins(x, -x).terms["on_diagonal"]) == pytest.approx(3 * 4, rel=1e-4)
    assert float(barlow_twins(x, x).terms["off_diagonal"]) == pytest.approx(0.0, abs=1e-12)
    twice = x[:, :1].repeat(1, 3)
    assert float(barlow_twins(twice, twice).terms["off_diagonal"]) == pytest.approx(3 * 2, rel=1e-4)
    assert float(decorrelation(twice).total) == pytest.approx(3 * 2, rel=1e-4)


def test_scale_shift_row_order_and_view_order_have_no_effect() -> None:
    x, y = (v.detach() for v in views())
    order, expected = torch.randperm(len(x)), barlow_twins(x, y).total
    scale = torch.rand(x.shape[1], dtype=torch.float64) * 5 + 1
    for other in (
        barlow_twins(x * scale + 7.0, y),
        barlow_twins(x[order], y[order]),
        barlow_twins(y, x),
    ):
        assert torch.allclose(other.total, expected, rtol=1e-4)
    assert not torch.allclose(barlow_twins(x, y[order]).total, expected, rtol=1e-2)


def test_a_constant_batch_costs_its_dimensions_in_two_views_and_nothing_in_one() -> None:
    constant = torch.full((8, 5), 0.5)
    assert float(barlow_twins(constant, constant).total) == pytest.approx(5.0)
    assert float(decorrelation(constant).total) == 0.0


def test_the_single_batch_form_is_the_off_diagonal_of_two_equal_views() -> None:
    z = views()[0].detach()
    out = decorrelation(z, scale_loss=2.0)
    assert list(out.terms) == ["off_diagonal"]
    assert torch.allclose(out.terms["off_diagonal"], barlow_twins(z, z).terms["off_diagonal"])
    assert torch.allclose(out.total, 2.0 * out.terms["off_diagonal"])


@pytest.mark.parametrize("shapes", [((1, 3), (1, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_one_row_and_unequal_shapes_raise(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        barlow_twins(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
    with pytest.raises(ValueError, match="n >= 2"):
        decorrelation(torch.zeros(1, 3))


def test_barlow_twins_is_float32_under_autocast() -> None:
    x, y = (v.detach().float() for v in views())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = barlow_twins(x, y)
    assert low.total.dtype == torch.float32
    assert torch.equal(low.total, barlow_twins(x, y).total)
