"""The coding rate in the conventions of the released codes, compared with explicit formulas."""

import math

import pytest
import torch

from jepa_lab.losses import RateLoss, mcr2_rate, simdino_expansion
from jepa_lab.losses.coding_rate import coding_rate


@pytest.mark.parametrize(("n", "d"), [(40, 7), (7, 40), (12, 12)])
@pytest.mark.parametrize("eps", [0.5, 0.1])
def test_both_forms_match_their_formulas(n: int, d: int, eps: float) -> None:
    z = torch.randn(n, d, dtype=torch.float64)
    mcr2 = 0.5 * torch.logdet(torch.eye(d, dtype=z.dtype) + d / (n * eps) * z.T @ z)
    assert torch.allclose(mcr2_rate(z, eps), mcr2)
    unit = z / z.norm(dim=1, keepdim=True)
    expansion = (
        0.5
        * torch.logdet(torch.eye(d, dtype=z.dtype) + d / (n * eps) * unit.T @ unit)
        * (d + n)
        / (d * n)
    )
    assert torch.allclose(simdino_expansion(z, eps), expansion)


def test_both_forms_of_an_orthonormal_set_match_the_closed_form() -> None:
    d, eps = 6, 0.5
    z = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    expected = d / 2 * math.log(1 + 1 / eps)  # n = d: every eigenvalue of d/(n eps) Z'Z is 1/eps
    assert float(mcr2_rate(z, eps)) == pytest.approx(expected)
    assert float(simdino_expansion(z, eps)) == pytest.approx(expected * 2 / d)


def test_rotation_changes_neither_form_and_scale_only_mcr2() -> None:
    z, q = (
        torch.randn(20, 5, dtype=torch.float64),
        torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q,
    )
    for rate in (mcr2_rate, simdino_expansion):
        assert torch.allclose(rate(z @ q), rate(z))
    assert torch.allclose(simdino_expansion(3 * z), simdino_expansion(z))
    assert float(mcr2_rate(3 * z)) > float(mcr2_rate(z))


def test_gradients_match_finite_differences() -> None:
    z = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mcr2_rate, (z,))
    assert torch.autograd.gradcheck(simdino_expansion, (z,))


@pytest.mark.parametrize("rate", [mcr2_rate, simdino_expansion])
def test_wrong_shapes_and_eps_raise(rate: object) -> None:
    with pytest.raises(ValueError, match=r"expected \(n, d\)"):
        rate(torch.randn(3))  # type: ignore[operator]
    with pytest.raises(ValueError, match="eps must be above 0"):
        rate(torch.randn(3, 2), eps=0.0)  # type: ignore[operator]


def test_the_regulariser_uses_the_configured_form() -> None:
    z_agg, z = torch.randn(16, 6), torch.randn(16, 3, 5)
    assert torch.allclose(RateLoss("z_agg")(z_agg, z), -coding_rate(z_agg))
    assert torch.allclose(RateLoss("z_agg", form="mcr2")(z_agg, z), -mcr2_rate(z_agg))
    both = -simdino_expansion(z_agg) - simdino_expansion(z.flatten(0, 1))
    assert torch.allclose(RateLoss("both", form="simdino")(z_agg, z), both)
    with pytest.raises(ValueError, match="form is one of"):
        RateLoss("z_agg", form="other")
