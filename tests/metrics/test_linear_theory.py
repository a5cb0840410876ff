"""The theory of the linear toy: published figures, closed forms, invariances, degenerate cases."""

import math

import pytest
import torch
from torch import Tensor

from jepa_lab.metrics.linear_theory import (
    balance,
    covariance_rank,
    covariances,
    curvature,
    encoder_errors,
    exact_encoder,
    inverse_covariance,
    irreducible_loss,
    optimal_predictor,
    population_loss,
    predictor_errors,
    readout_r2,
    stability_bound,
    wiener,
)
from jepa_lab.studies.linear_byol.data import GaussianViews

DATA = GaussianViews.make(42, 10, 100, 0.5)
BEST = DATA.A.mT


def theory(B_o: Tensor = BEST, B_t: Tensor = BEST) -> tuple[Tensor, Tensor]:
    c = covariances(DATA.A, B_o, B_t, DATA.spectrum, 0.5)
    return optimal_predictor(DATA.A, B_o, B_t, DATA.spectrum, 0.5), c.oo


def rotation(d: int = 10, seed: int = 0) -> Tensor:
    return torch.linalg.qr(
        torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ).Q


def test_the_optimum_has_the_published_figures() -> None:
    P, c_oo = theory()
    assert float(curvature(DATA.A, BEST, DATA.spectrum, 0.5)) == pytest.approx(100.25)
    c = covariances(DATA.A, BEST, BEST, DATA.spectrum, 0.5)
    assert float(irreducible_loss(c)) == pytest.approx(0.4806, abs=5e-5)
    published = [0.2857, 0.9782, 0.9889, 0.9926, 0.9944, 0.9955, 0.9963, 0.9968, 0.9972, 0.9975]
    torch.testing.assert_close(
        P, torch.diag(torch.tensor(published, dtype=torch.float64)), atol=5e-5, rtol=0
    )
    assert float(covariance_rank(c_oo)) == pytest.approx(7.82, abs=0.005)
    assert float(covariance_rank(P @ c_oo @ P.mT)) == pytest.approx(7.76, abs=0.005)
    assert stability_bound(100.25, 0.9, 10) == pytest.approx(0.1895, abs=5e-5)


def test_no_predictor_beats_the_optimal_one() -> None:
    B_o, B_t = torch.randn(2, 10, 100, dtype=torch.float64)
    c = covariances(DATA.A, B_o, B_t, DATA.spectrum, 0.5)
    P = optimal_predictor(DATA.A, B_o, B_t, DATA.spectrum, 0.5)
    torch.testing.assert_close(population_loss(c, P), irreducible_loss(c))
    steps = torch.randn(50, 10, 10, dtype=torch.float64) * 0.01
    assert bool((population_loss(c, P + steps) > irreducible_loss(c)).all())


def test_the_population_loss_is_the_mean_over_many_samples() -> None:
    P, B_o, B_t = rotation(), BEST + 0.1, BEST - 0.05
    _, x, x_plus = DATA.evaluation(100_000)
    sampled = (x @ B_o.mT @ P.mT - x_plus @ B_t.mT).square().mean()
    exact = population_loss(covariances(DATA.A, B_o, B_t, DATA.spectrum, 0.5), P)
    torch.testing.assert_close(sampled, exact, rtol=0.02, atol=0)


def test_rotating_the_predictor_on_both_sides_leaves_no_aligned_error() -> None:
    P, _ = theory()
    errors = predictor_errors(rotation(seed=1) @ P @ rotation(seed=2), P)
    assert float(errors["W_Fro_aligned"]) < 1e-12
    assert float(errors["W_rel_sv_err"]) < 1e-12
    assert float(errors["W_Fro_raw"]) > 3  # the public code reported 4.17 as the aligned error


def test_the_aligned_error_is_that_after_the_procrustes_rotations() -> None:
    P, P_star = torch.randn(2, 6, 10, 10, dtype=torch.float64)
    u, _, vh = torch.linalg.svd(P)
    u_star, _, vh_star = torch.linalg.svd(P_star)
    turned = (u_star @ u.mT) @ P @ (vh.mT @ vh_star)
    errors = predictor_errors(P, P_star)
    torch.testing.assert_close(errors["W_Fro_aligned"], (turned - P_star).flatten(1).norm(dim=1))
    assert bool((errors["W_Fro_aligned"] <= errors["W_Fro_raw"]).all())
    torch.testing.assert_close(errors["log10_W_Fro_raw"], errors["W_Fro_raw"].log10())


def test_a_predictor_of_lower_rank_is_compared_in_its_own_directions() -> None:
    P_star = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))
    P = torch.diag(torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64))
    errors = predictor_errors(P, P_star)
    assert float(errors["W_rel_sv_err"]) == pytest.approx(1 / 3)  # 2 against the largest, 3
    # the direction of P is the second, that of P* the first
    assert float(errors["W_cos_left_min"]) == pytest.approx(0)
    assert float(errors["W_Fro_aligned"]) == pytest.approx(math.sqrt(1 + 4 + 1))
    same = predictor_errors(torch.diag(torch.tensor([3.0, 0.0, 0.0], dtype=torch.float64)), P_star)
    assert float(same["W_cos_right_min"]) == pytest.approx(1)


def test_a_rotated_encoder_has_no_aligned_error() -> None:
    errors = encoder_errors(DATA.A, rotation() @ BEST)
    for name in ("BA_err_aligned", "enc_procrustes_fro", "enc_proj_dist"):
        assert float(errors[name]) < 1e-12
    assert float(errors["enc_cos_min"]) == pytest.approx(1)
    assert float(errors["BA_err_raw"]) > 1


def test_scaling_adds_an_aligned_error_but_keeps_the_row_space() -> None:
    errors = encoder_errors(DATA.A, 2 * BEST)
    assert float(errors["enc_proj_dist"]) < 1e-12
    assert float(errors["BA_err_aligned"]) == pytest.approx(math.sqrt(10))


def test_orthogonal_row_spaces_have_the_largest_distance() -> None:
    other = (
        torch.linalg.qr(torch.cat([DATA.A, torch.randn(100, 10, dtype=torch.float64)], dim=1))
        .Q[:, 10:]
        .mT
    )
    errors = encoder_errors(DATA.A, other)
    assert float(errors["enc_proj_dist"]) == pytest.approx(math.sqrt(20))  # 4.472
    assert float(errors["enc_cos_mean"]) == pytest.approx(0, abs=1e-12)


def test_readout_r2_ignores_scale_and_rotation_and_is_known_at_the_optimum() -> None:
    share, mean_share = readout_r2(DATA.A, BEST, DATA.spectrum, 0.5)
    expected = DATA.spectrum / (DATA.spectrum + 0.25)
    torch.testing.assert_close(share, (expected * DATA.spectrum).sum() / DATA.spectrum.sum())
    torch.testing.assert_close(mean_share, expected.mean())
    torch.testing.assert_close(
        readout_r2(DATA.A, 1e-3 * rotation() @ BEST, DATA.spectrum, 0.5)[0], share
    )
    lost = BEST.clone()
    lost[-1] = 0
    assert float(readout_r2(DATA.A, lost, DATA.spectrum, 0.5)[0]) < float(share) - 0.15


def test_total_collapse_has_rank_1_and_readout_r2_0() -> None:
    nothing = torch.zeros(10, 100, dtype=torch.float64)
    P, c_oo = theory(nothing, nothing)
    assert float(covariance_rank(c_oo)) == 1.0  # the public code reported 8.85
    assert float(covariance_rank(1e-18 * theory()[1])) == 1.0
    assert float(P.abs().max()) == 0
    assert float(readout_r2(DATA.A, nothing, DATA.spectrum, 0.5)[0]) == 0


def test_known_spectra_have_known_ranks() -> None:
    equal = torch.eye(5, dtype=torch.float64)
    one = torch.zeros(5, 5, dtype=torch.float64)
    one[0, 0] = 3
    torch.testing.assert_close(
        covariance_rank(torch.stack([equal, one])), torch.tensor([5.0, 1.0]).double()
    )
    turned = rotation(5) @ torch.diag(torch.arange(1.0, 6.0).double()) @ rotation(5).mT
    torch.testing.assert_close(
        covariance_rank(turned), covariance_rank(torch.diag(torch.arange(1.0, 6.0).double()))
    )


def test_all_functions_are_batched_over_leading_dimensions() -> None:
    B = torch.randn(3, 2, 10, 100, dtype=torch.float64)
    whole = optimal_predictor(DATA.A, B, B.flip(0), DATA.spectrum, 0.5)
    one = optimal_predictor(DATA.A, B[1, 1], B.flip(0)[1, 1], DATA.spectrum, 0.5)
    torch.testing.assert_close(whole[1, 1], one)
    for name, value in encoder_errors(DATA.A, B).items():
        torch.testing.assert_close(value[2, 0], encoder_errors(DATA.A, B[2, 0])[name])


def test_a_gradient_step_does_not_change_the_balance() -> None:
    P, B, E = torch.randn(4, 4).double(), torch.randn(4, 9).double(), torch.randn(4, 9).double()
    alpha, beta, dt = torch.tensor(0.3).double(), torch.tensor(0.7).double(), 1e-7
    moved = balance(P - dt * alpha * E @ B.mT, B - dt * beta * P.mT @ E, alpha, beta) - balance(
        P, B, alpha, beta
    )
    assert float(moved.abs().max()) < 1e-10 < dt * float((P.mT @ E @ B.mT).abs().max())


@pytest.mark.parametrize(
    ("A", "B"), [(torch.zeros(5, 2), torch.zeros(2, 6)), (torch.zeros(5), torch.zeros(2, 5))]
)
def test_shapes_that_do_not_fit_raise(A: Tensor, B: Tensor) -> None:
    with pytest.raises(ValueError, match="expected A"):
        encoder_errors(A, B)


def test_matrices_that_are_not_finite_raise() -> None:
    with pytest.raises(ValueError, match="finite"):
        curvature(DATA.A, BEST * math.nan, DATA.spectrum, 0.5)


def test_parts_that_are_computed_already_change_no_bit() -> None:
    B_o = torch.randn(5, 10, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    c = covariances(DATA.A, B_o, BEST, DATA.spectrum, 0.5)
    inverse = inverse_covariance(c.oo)
    assert torch.equal(wiener(c, inverse), wiener(c))
    arguments = (DATA.A, B_o, DATA.spectrum, 0.5)
    for given, own in zip(readout_r2(*arguments, inverse), readout_r2(*arguments), strict=True):
        assert torch.equal(given, own)
    given, own = encoder_errors(DATA.A, B_o, exact_encoder(DATA.A)), encoder_errors(DATA.A, B_o)
    assert given.keys() == own.keys()
    assert all(torch.equal(given[name], own[name]) for name in own)
    eigenvalues = torch.linalg.eigvalsh(c.oo)
    assert torch.equal(covariance_rank(c.oo, eigenvalues=eigenvalues), covariance_rank(c.oo))
