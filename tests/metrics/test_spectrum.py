import math

import numpy as np
import pytest
import torch

from jepa_lab.metrics import (
    Spectrum,
    alpha_req,
    condition_number,
    effective_rank,
    eigenvalue_ratio,
    isotropy,
    participation_ratio,
    rankme,
    spectral_cliff,
    stable_rank,
)

FAMILY = [rankme, effective_rank, participation_ratio, stable_rank, eigenvalue_ratio]
CENTRED = [effective_rank, participation_ratio, stable_rank, eigenvalue_ratio]


def features(eigenvalues: list[float], n: int = 400, mean: float = 0.0) -> torch.Tensor:
    """Returns (n, d) features with exactly these covariance eigenvalues."""
    d = len(eigenvalues)
    z = torch.randn(n, d, dtype=torch.float64)
    basis = torch.linalg.qr(z - z.mean(0))[0] * math.sqrt(n)
    rotation = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0]
    return basis * torch.tensor(eigenvalues, dtype=torch.float64).sqrt() @ rotation + mean


def test_the_decomposition_matches_numpy_for_wide_and_tall_features() -> None:
    for n, d in ((50, 8), (8, 50), (9, 9)):
        z = torch.randn(n, d)
        spectrum = Spectrum.of(z)
        covariance = np.cov(z.double().numpy(), rowvar=False, bias=True)
        expected = np.sort(np.linalg.eigvalsh(covariance))[::-1][: min(n - 1, d)]
        assert spectrum.centred.numpy() == pytest.approx(expected, abs=1e-9)
        singular = np.linalg.svd(z.double().numpy(), compute_uv=False)
        assert spectrum.uncentred.numpy() == pytest.approx(singular, abs=1e-7)


@pytest.mark.parametrize("metric", [effective_rank, participation_ratio, stable_rank])
@pytest.mark.parametrize("r", [1, 3, 8])
def test_r_equal_directions_have_rank_r(metric: object, r: int) -> None:
    assert float(metric(features([2.0] * r + [0.0] * (8 - r)))) == pytest.approx(r, rel=1e-6)  # type: ignore[operator]


def test_two_unequal_directions_match_the_closed_forms() -> None:
    z = features([3.0, 1.0])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(effective_rank(z)) == pytest.approx(math.exp(entropy))
    assert float(participation_ratio(z)) == pytest.approx(16 / 10)
    assert float(stable_rank(z)) == pytest.approx(4 / 3)
    assert float(eigenvalue_ratio(z)) == pytest.approx(1 / 3)
    assert float(condition_number(z)) == pytest.approx(3.0)
    root = math.sqrt(3)
    p = root / (root + 1)
    assert float(rankme(z)) == pytest.approx(
        math.exp(-(p * math.log(p) + (1 - p) * math.log(1 - p)))
    )


@pytest.mark.parametrize("metric", FAMILY)
def test_ranks_do_not_depend_on_scale_rotation_or_order(metric: object) -> None:
    z = torch.randn(40, 6, dtype=torch.float64) * torch.arange(1, 7)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    value = float(metric(z))  # type: ignore[operator]
    for other in (z * 1e-6, z * 1e6, z @ rotation, z.flip(0)):
        assert float(metric(other)) == pytest.approx(value, rel=1e-6)  # type: ignore[operator]


@pytest.mark.parametrize("metric", CENTRED)
def test_a_mean_changes_rankme_but_no_centred_rank(metric: object) -> None:
    z = torch.randn(60, 5, dtype=torch.float64)
    assert float(metric(z + 100)) == pytest.approx(float(metric(z)), rel=1e-6)  # type: ignore[operator]
    assert float(rankme(z + 100)) < 1.5 < float(rankme(z))


@pytest.mark.parametrize(
    "constant", [torch.zeros(20, 4), torch.full((20, 4), 3.3), torch.full((3, 9), -1e4)]
)
def test_every_metric_has_a_defined_value_for_constant_features(constant: torch.Tensor) -> None:
    assert float(effective_rank(constant)) == 1.0
    assert float(participation_ratio(constant)) == 1.0
    assert float(stable_rank(constant)) == 1.0
    assert float(eigenvalue_ratio(constant)) == 0.0
    assert float(rankme(constant)) == pytest.approx(1.0)
    assert spectral_cliff(constant) == (0, 1.0)
    assert math.isinf(float(condition_number(constant)))


def test_a_constant_with_a_little_noise_has_full_centred_rank() -> None:
    z = torch.ones(500, 6, dtype=torch.float64) + 1e-5 * torch.randn(500, 6, dtype=torch.float64)
    assert float(effective_rank(z)) > 5.5
    assert float(rankme(z)) < 1.01


def test_the_rank_of_few_samples_is_at_most_n_minus_1() -> None:
    z = torch.randn(5, 100)
    assert len(Spectrum.of(z).centred) == 4
    assert 3.5 < float(effective_rank(z)) <= 4.0
    assert float(eigenvalue_ratio(z)) > 0.3


def test_the_spectral_cliff_is_where_the_variance_ends() -> None:
    r, share = spectral_cliff(features([1.0, 0.5, 0.2, 1e-6, 1e-6, 0.0]))
    assert r == 3
    assert share > 1 - 1e-4
    assert spectral_cliff(features([1.0] * 6))[0] == 6


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_alpha_req_recovers_the_exponent_of_a_power_law(exponent: float) -> None:
    z = features([k**-exponent for k in range(1, 61)])
    assert float(alpha_req(z)) == pytest.approx(exponent, abs=1e-6)
    assert float(alpha_req(3 * z, (5, 40))) == pytest.approx(exponent, abs=1e-6)


def test_alpha_req_of_too_few_points_is_nan() -> None:
    assert math.isnan(float(alpha_req(torch.randn(100, 20))))


def test_isotropy_is_an_alias_of_eigenvalue_ratio() -> None:
    assert isotropy is eigenvalue_ratio


@pytest.mark.parametrize(
    "bad", [torch.zeros(1, 4), torch.zeros(4), torch.zeros(2, 3, 4), torch.full((4, 4), math.nan)]
)
def test_wrong_shapes_and_values_that_are_not_finite_raise(bad: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=str(tuple(bad.shape)).replace("(", r"\(").replace(")", r"\)")
    ):
        effective_rank(bad)
