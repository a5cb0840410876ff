"""The geometry of factor sweeps, for encoders with a known geometry and for scrambled features."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from jepa_lab.metrics import subspace_overlap
from jepa_lab.metrics.factors import (
    circle_fit,
    factor_geometry,
    harmonic_shares,
    is_full_turn,
    projector,
    stability,
    systematic_share,
    top_directions,
)

ANGLES = torch.arange(36, dtype=torch.float64) * (2 * math.pi / 36) - math.pi
REFERENCE = 18


def features(d_content: int = 30, n: int = 50) -> Tensor:
    """Returns features [cos t, sin t, content]: a perfect rotation plane beside the content of an
    image."""
    content = torch.randn(n, 1, d_content).expand(n, 36, d_content)
    circle = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=-1).expand(n, 36, 2)
    return torch.cat([circle, content], dim=-1)


def test_the_known_encoder_has_one_aligned_plane_with_a_circle() -> None:
    values, basis = factor_geometry(features(), REFERENCE, 2, ANGLES)
    assert values["explained_variance"] == pytest.approx(1.0)
    assert values["effective_rank"] == pytest.approx(2.0, abs=0.1)
    assert values["coordinate_participation"] == pytest.approx(2.0)
    assert values["systematic_share"] == pytest.approx(1.0)
    assert values["circle_fit"] > 0.99
    assert values["circle_fit_anchors"] > 0.99
    assert torch.allclose(projector(basis)[:2, :2], torch.eye(2, dtype=torch.float64), atol=1e-6)


def test_a_rotation_of_features_changes_only_coordinate_participation() -> None:
    turn = torch.linalg.qr(torch.randn(32, 32, dtype=torch.float64)).Q
    z = features().double()
    before, after = (
        factor_geometry(z, REFERENCE, 2, ANGLES)[0],
        factor_geometry(z @ turn, REFERENCE, 2, ANGLES)[0],
    )
    for name in ("explained_variance", "effective_rank", "systematic_share", "circle_fit"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)
    assert after["coordinate_participation"] > 5


def test_scrambled_and_random_features_have_low_fits_and_shares() -> None:
    z = features()
    order = torch.randperm(36)
    scrambled = z[:, order]  # a circle that is traversed in the wrong order
    values, _ = factor_geometry(scrambled, REFERENCE, 2, ANGLES)
    assert values["circle_fit"] < 0.5
    noise, _ = factor_geometry(torch.randn(50, 36, 32), REFERENCE, 2, ANGLES)
    assert noise["explained_variance"] < 0.3
    assert noise["effective_rank"] > 15
    assert noise["systematic_share"] < 0.1
    assert noise["circle_fit_anchors"] < 0.3


def test_subspaces_have_overlap_0_if_orthogonal_and_1_with_themselves() -> None:
    rotation = factor_geometry(features(), REFERENCE, 2, ANGLES)[1]
    steps = torch.linspace(-1, 1, 15).view(1, 15, 1)
    moved = torch.cat([torch.zeros(50, 15, 31), steps.expand(50, 15, 1)], dim=-1) + torch.randn(
        50, 1, 32
    )
    translation = factor_geometry(moved, 7, 1)[1]
    assert float(subspace_overlap(rotation, translation)) == pytest.approx(0.0, abs=1e-9)
    assert float(subspace_overlap(rotation, rotation)) == pytest.approx(1.0)


@pytest.mark.parametrize("turns", [1, -1])
def test_circle_fit_allows_shift_scale_rotation_and_mirror_but_not_two_turns(turns: int) -> None:
    t = turns * ANGLES + 0.7
    points = 3 * torch.stack([t.cos(), t.sin()], dim=-1) + torch.tensor([5.0, -2.0])
    assert float(circle_fit(points, ANGLES)) == pytest.approx(1.0)
    twice = torch.stack([(2 * ANGLES).cos(), (2 * ANGLES).sin()], dim=-1)
    assert float(circle_fit(twice, ANGLES)) == pytest.approx(0.0, abs=1e-9)


def test_harmonics_distinguish_one_period_from_two_in_any_planes() -> None:
    planes = torch.linalg.qr(torch.randn(20, 8, 2)).Q  # one plane per anchor
    for turns, at in ((1, 0), (2, 1)):
        circle = torch.stack([(turns * ANGLES).cos(), (turns * ANGLES).sin()], dim=-1).float()
        shares = harmonic_shares(
            torch.einsum("sk,ndk->nsd", circle, planes) + torch.randn(20, 1, 8)
        )
        assert float(shares[at]) == pytest.approx(1.0, abs=1e-6)
        assert float(shares.sum()) == pytest.approx(1.0)
    assert float(harmonic_shares(torch.randn(200, 36, 8))[0]) < 0.1
    noise = harmonic_shares(torch.randn(2000, 4, 8))
    # in white noise the first period has two of three degrees of freedom
    assert float(noise[0]) == pytest.approx(2 / 3, abs=0.02)


def test_a_full_turn_excludes_its_end_point() -> None:
    assert is_full_turn(ANGLES)
    assert not is_full_turn(torch.linspace(-math.pi, math.pi, 37))
    assert not is_full_turn(ANGLES / 2)


def test_circle_fit_of_an_ellipse_matches_the_closed_form() -> None:
    """For axes a and b the best circle has radius (a + b) / 2, so R² = (a + b)² / (2 (a² + b²))."""
    points = torch.stack([2.0 * ANGLES.cos(), 1.0 * ANGLES.sin()], dim=-1)
    assert float(circle_fit(points, ANGLES)) == pytest.approx(9 / 10)
    line = torch.stack([ANGLES.cos(), 0 * ANGLES], dim=-1)
    assert float(circle_fit(line, ANGLES)) == pytest.approx(0.5)


def test_features_that_do_not_move_have_share_and_fit_0() -> None:
    still = torch.randn(5, 1, 8).expand(5, 36, 8)
    values, _ = factor_geometry(still, REFERENCE, 2, ANGLES)
    assert values["systematic_share"] == 0.0
    assert values["circle_fit"] == 0.0
    assert float(systematic_share(torch.zeros(3, 4, 2))) == 0.0


def test_stability_is_1_for_the_same_and_0_for_an_orthogonal_subspace() -> None:
    basis = torch.eye(6, dtype=torch.float64)[:, :2]
    turn = torch.linalg.qr(torch.randn(2, 2, dtype=torch.float64)).Q
    # another basis of the same subspace
    assert float(stability(projector(basis @ turn), basis)) == pytest.approx(1.0)
    assert float(stability(projector(torch.eye(6, dtype=torch.float64)[:, 2:4]), basis)) == 0.0


def test_top_directions_are_those_of_the_largest_variance() -> None:
    delta = torch.randn(500, 3) * torch.tensor([0.1, 5.0, 1.0])
    assert float(top_directions(delta, 1)[1].abs()) == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize(
    ("z", "reference", "k"),
    [
        (torch.zeros(3, 4), 0, 1),
        (torch.zeros(3, 4, 2), 4, 1),
        (torch.zeros(3, 4, 2), 0, 3),
        (torch.full((3, 4, 2), math.nan), 0, 1),
    ],
)
def test_wrong_shapes_and_values_raise(z: Tensor, reference: int, k: int) -> None:
    with pytest.raises(ValueError):
        factor_geometry(z, reference, k)
