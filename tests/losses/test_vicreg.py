"""VICReg and its single-batch part: the authors' code, closed forms, invariances, degenerate
batches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses import variance_covariance, vicreg


def released(x: Tensor, y: Tensor, sim_coeff: float, std_coeff: float, cov_coeff: float) -> Tensor:
    """Computes the loss of the authors' main_vicreg.py, line by line."""

    def off_diagonal(m: Tensor) -> Tensor:
        n, _ = m.shape
        return m.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten()

    repr_loss = F.mse_loss(x, y)
    batch_size, num_features = x.shape
    x = x - x.mean(dim=0)
    y = y - y.mean(dim=0)
    std_x = torch.sqrt(x.var(dim=0) + 0.0001)
    std_y = torch.sqrt(y.var(dim=0) + 0.0001)
    std_loss = torch.mean(F.relu(1 - std_x)) / 2 + torch.mean(F.relu(1 - std_y)) / 2
    cov_x = (x.T @ x) / (batch_size - 1)
    cov_y = (y.T @ y) / (batch_size - 1)
    cov_loss = off_diagonal(cov_x).pow(2).sum().div(num_features) + off_diagonal(cov_y).pow(
        2
    ).sum().div(num_features)
    return sim_coeff * repr_loss + std_coeff * std_loss + cov_coeff * cov_loss


def views(n: int = 12, d: int = 5, scale: float = 0.7) -> tuple[Tensor, Tensor]:
    x = scale * torch.randn(n, d, dtype=torch.float64) @ torch.randn(d, d, dtype=torch.float64)
    return x.requires_grad_(), (x.detach() + 0.3 * torch.randn_like(x)).requires_grad_()


@pytest.mark.parametrize("coefficients", [(25.0, 25.0, 1.0), (1.0, 1.0, 0.8), (0.0, 2.0, 0.0)])
def test_vicreg_matches_the_released_code_in_value_and_gradient(
    coefficients: tuple[float, float, float],
) -> None:
    x, y = views()
    ours, theirs = vicreg(x, y, *coefficients).total, released(x, y, *coefficients)
    assert torch.allclose(ours, theirs, rtol=1e-12)
    for a, b in zip(
        torch.autograd.grad(ours, (x, y)), torch.autograd.grad(theirs, (x, y)), strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-14)


def test_the_terms_are_unweighted_and_add_up() -> None:
    x, y = views()
    out = vicreg(x, y, 2.0, 3.0, 5.0)
    t = out.terms
    assert list(t) == ["sim", "std", "cov"]
    assert torch.allclose(out.total, 2 * t["sim"] + 3 * t["std"] + 5 * t["cov"])
    assert torch.allclose(vicreg(x, y, 7.0, 7.0, 7.0).terms["cov"], t["cov"])


def test_two_rows_match_the_closed_form() -> None:
    # features (a, -a) and (b, -b): unbiased variances 2 a^2 and 2 b^2, covariance 2 a b
    a, b = 0.3, 0.1
    x = torch.tensor([[a, b], [-a, -b]], dtype=torch.float64)
    out = vicreg(x, x + 0.5, 1.0, 1.0, 1.0, eps=0.0).terms
    assert float(out["sim"]) == pytest.approx(0.25)
    assert float(out["std"]) == pytest.approx(1 - (a + b) / 2 * 2**0.5)
    assert float(out["cov"]) == pytest.approx(2 * 2 * (2 * a * b) ** 2 / 2)


def test_row_order_a_common_shift_and_view_order_have_no_effect() -> None:
    x, y = (v.detach() for v in views())
    order = torch.randperm(len(x))
    expected = vicreg(x, y).total
    for other in (vicreg(x[order], y[order]), vicreg(x + 3.0, y + 3.0), vicreg(y, x)):
        assert torch.allclose(other.total, expected, rtol=1e-9)
    assert not torch.allclose(vicreg(x, y[order]).total, expected)


def test_wide_independent_features_cost_only_their_distance() -> None:
    z = 2.0 * torch.linalg.qr(torch.randn(64, 4, dtype=torch.float64))[0] * 8
    z = z - z.mean(dim=0)
    q = torch.linalg.qr(z)[0] * 63**0.5 * 2.0  # zero mean, orthogonal columns, unbiased std 2
    out = vicreg(q, q)
    assert float(out.total) == pytest.approx(0.0, abs=1e-12)


def test_constant_rows_cost_the_hinge_and_nearly_constant_ones_have_a_gradient() -> None:
    constant = torch.full((8, 3), 0.4, dtype=torch.float64)
    out = vicreg(constant, constant, eps=1e-4)
    assert float(out.terms["std"]) == pytest.approx(1 - 1e-2)
    assert float(out.terms["sim"]) == float(out.terms["cov"]) == 0.0
    z = (constant + 1e-3 * torch.randn(8, 3, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(variance_covariance(z).total, z)
    assert float(gradient.norm()) > 1e-2  # a clamp at var = eps would make it 0


def test_the_single_batch_form_is_vicreg_of_two_equal_views() -> None:
    z = views()[0].detach()
    one, two = variance_covariance(z, 3.0, 0.5), vicreg(z, z, 9.0, 3.0, 0.5)
    assert torch.allclose(one.terms["std"], two.terms["std"])
    assert torch.allclose(2 * one.terms["cov"], two.terms["cov"])
    assert torch.allclose(one.total, 3.0 * one.terms["std"] + 0.5 * one.terms["cov"])
    assert list(one.terms) == ["std", "cov"]


@pytest.mark.parametrize(
    "shapes", [((1, 3), (1, 3)), ((4, 3), (4, 2)), ((4,), (4,)), ((4, 3), (5, 3))]
)
def test_one_row_and_unequal_shapes_raise(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="expected"):
        vicreg(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_one_row_raises_in_the_single_batch_form() -> None:
    with pytest.raises(ValueError, match=r"n >= 2, got \(1, 3\)"):
        variance_covariance(torch.zeros(1, 3))


def test_vicreg_is_float32_under_autocast() -> None:
    x, y = (v.detach().float() for v in views())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = vicreg(x, y)
    assert low.total.dtype == torch.float32
    assert torch.equal(low.total, vicreg(x, y).total)
