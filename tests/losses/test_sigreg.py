"""SIGReg: the explicit integral, theoretical values, and its minimisation."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.integrate import quad
from torch import Tensor

from jepa_lab.losses import epps_pulley, sigreg, sigreg_published
from jepa_lab.losses.sigreg import directions


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(10_000 + seed))


def integral(x: Tensor, t_max: float) -> float:
    """Computes n times the integral by adaptive quadrature of the explicit characteristic
    function."""

    def integrand(t: float) -> float:
        phi = torch.exp(1j * t * x).mean()
        return abs(complex(phi) - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2)

    return len(x) * quad(integrand, -t_max, t_max)[0]


def test_epps_pulley_matches_the_integral() -> None:
    x = torch.randn(12, 3, dtype=torch.float64) * torch.tensor([0.5, 1.0, 2.0]) + 0.3
    fine = epps_pulley(x, t_max=2.5, n_points=2001)
    coarse = epps_pulley(x, t_max=2.5)
    for k in range(3):
        expected = integral(x[:, k], 2.5)
        assert float(fine[k]) == pytest.approx(expected, rel=1e-5)
        assert float(coarse[k]) == pytest.approx(expected, rel=0.01)


def test_the_weights_match_the_reference() -> None:
    x, t = torch.randn(7, dtype=torch.float64), torch.linspace(0, 3, 17, dtype=torch.float64)
    weights = torch.full((17,), 2 * 3 / 16, dtype=torch.float64)
    weights[0] = weights[-1] = 3 / 16
    window = torch.exp(-t.square() / 2)
    phase = x[:, None] * t
    error = (phase.cos().mean(0) - window).square() + phase.sin().mean(0).square()
    expected = 7 * (weights * window * error).sum()
    assert float(epps_pulley(x[:, None])) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("n", [50, 400])
def test_standard_normal_features_give_the_analytic_mean_for_any_n(n: int) -> None:
    draws = torch.stack([sigreg(normal(n, 64, seed), step=seed) for seed in range(50)])
    assert float(draws.mean()) == pytest.approx(1.0526, abs=0.05)


def test_known_clouds_have_known_values() -> None:
    n = 2000
    assert float(sigreg(torch.zeros(n, 8))) == pytest.approx(0.402 * n, rel=1e-3)
    assert float(epps_pulley(torch.ones(n, 1))) == pytest.approx(1.19 * n, rel=5e-3)
    assert float(sigreg(2 * normal(n, 16))) == pytest.approx(0.24 * n, rel=0.03)
    sphere = F.normalize(normal(n, 32), dim=1)
    assert float(sigreg(sphere)) == pytest.approx(0.357 * n, rel=5e-3)
    scaled = [sigreg(F.normalize(normal(256, 64, s), dim=1) * 8, step=s) for s in range(40)]
    assert float(torch.stack(scaled).mean()) == pytest.approx(1.1, abs=0.1)


def test_row_order_and_sign_do_not_change_sigreg() -> None:
    z = normal(30, 5) + 0.5
    assert torch.allclose(sigreg(z.flip(0)), sigreg(z), rtol=1e-4)
    assert torch.allclose(sigreg(-z), sigreg(z), rtol=1e-4)


def test_directions_are_uniform_unit_vectors_that_depend_on_the_step_alone() -> None:
    first = directions(16, 4096, step=3)
    torch.manual_seed(99)
    torch.rand(5)
    assert torch.equal(first, directions(16, 4096, step=3))
    assert not torch.allclose(first, directions(16, 4096, step=4))
    assert torch.allclose(first.norm(dim=0), torch.ones(4096), atol=1e-6)
    assert torch.allclose(first @ first.T / 4096, torch.eye(16) / 16, atol=0.01)
    state = torch.get_rng_state()
    sigreg(normal(5, 3))
    assert torch.equal(torch.get_rng_state(), state)  # the global stream is not used


def test_minimising_sigreg_makes_a_cloud_normal() -> None:
    z = (0.05 * normal(256, 8) + 2.0).requires_grad_()  # narrow and far from the origin
    optimiser = torch.optim.Adam([z], lr=0.05)
    first = float(sigreg(z.detach(), n_slices=64))
    for step in range(300):
        optimiser.zero_grad()
        sigreg(z, step=step, n_slices=64).backward()
        optimiser.step()
    done = z.detach()
    assert first > 100
    assert float(sigreg(done, step=1000)) < 1.5
    assert float(done.mean(0).abs().max()) < 0.2
    assert torch.allclose(done.T.cov(), torch.eye(8), atol=0.35)


def test_the_gradient_matches_finite_differences() -> None:
    z = normal(6, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sigreg(x, n_slices=8), (z,))
    assert torch.autograd.gradcheck(lambda x: sigreg_published(x, n_slices=8), (z,))


@pytest.mark.parametrize("kind", ["sphere", "cone", "point", "line"])
def test_the_published_form_is_almost_the_same_for_all_features(kind: str) -> None:
    d = 256
    z = normal(512, d)
    z = {"sphere": z, "cone": z.relu(), "point": z[:1].expand(512, d), "line": z[:, :1] * z[:1]}[
        kind
    ]
    assert 0.394 < float(sigreg_published(z, n_slices=1024)) < 0.406
    assert float(sigreg_published(1e3 * z)) == pytest.approx(float(sigreg_published(z)), rel=1e-4)


def test_the_published_form_matches_the_unscaled_integral() -> None:
    z = normal(9, 4).double()
    slices = F.normalize(z, dim=1) @ directions(4, 5, step=2).double()
    t = torch.linspace(-3, 3, 17, dtype=torch.float64)
    window = torch.exp(-t.square() / 2)
    phi = torch.exp(1j * slices[:, :, None] * t).mean(0)
    expected = torch.trapezoid((phi - window).abs().square() * window, t).mean()
    assert float(sigreg_published(z, step=2, n_slices=5)) == pytest.approx(
        float(expected), rel=1e-12
    )


def test_half_precision_is_computed_in_float32_under_autocast() -> None:
    z = normal(40, 8).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = sigreg(z), sigreg_published(z)
    assert values[0].dtype == values[1].dtype == torch.float32
    assert torch.equal(values[0], sigreg(z.float()))
    assert torch.equal(values[1], sigreg_published(z.float()))


def test_wrong_arguments_raise() -> None:
    for form in (sigreg, sigreg_published):
        with pytest.raises(ValueError, match="odd"):
            form(torch.ones(4, 3), n_points=16)
        with pytest.raises(ValueError, match="t_max"):
            form(torch.ones(4, 3), t_max=0.0)
        with pytest.raises(ValueError, match="n_slices"):
            form(torch.ones(4, 3), n_slices=0)
        with pytest.raises(ValueError, match="n >= 1"):
            form(torch.ones(0, 3))
    with pytest.raises(ValueError, match="expected"):
        epps_pulley(torch.ones(4))
