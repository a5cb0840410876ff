"""The geometry of factor sweeps: encoders with a known answer give it, scrambled ones do not."""

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
    """[cos t, sin t, content]: a perfect rotation plane beside what an image is."""
    content = torch.randn(n, 1, d_content).expand(n, 36, d_content)
    circle = torch.stack([ANGLES.cos(), ANGLES.sin()], dim=-1).expand(n, 36, 2)
    return torch.cat([circle, content], dim=-1)


def test_the_known_encoder_has_one_plane_a_circle_in_it_and_aligned_coordinates() -> None:
    values, basis = factor_geometry(features(), REFERENCE, 2, ANGLES)
    assert values["explained_variance"] == pytest.approx(1.0)
    assert values["effective_rank"] == pytest.approx(2.0, abs=0.1)
    assert values["coordinate_participation"] == pytest.approx(2.0)
    assert values["systematic_share"] == pytest.approx(1.0)
    assert values["circle_fit"] > 0.99
    assert values["circle_fit_anchors"] > 0.99
    assert torch.allclose(projector(basis)[:2, :2], torch.eye(2, dtype=torch.float64), atol=1e-6)


def test_a_turned_feature_space_changes_everything_but_the_coordinates() -> None:
    turn = torch.linalg.qr(torch.randn(32, 32, dtype=torch.float64)).Q
    z = features().double()
    before, after = (
        factor_geometry(z, REFERENCE, 2, ANGLES)[0],
        factor_geometry(z @ turn, REFERENCE, 2, ANGLES)[0],
    )
    for name in ("explained_variance", "effective_rank", "systematic_share", "circle_fit"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)
    assert after["coordinate_participation"] > 5


def test_a_scrambled_encoder_fails_it() -> None:
    z = features()
    order = torch.randperm(36)
    scrambled = z[:, order]  # a circle, run through in the wrong order
    values, _ = factor_geometry(scrambled, REFERENCE, 2, ANGLES)
    assert values["circle_fit"] < 0.5
    noise, _ = factor_geometry(torch.randn(50, 36, 32), REFERENCE, 2, ANGLES)
    assert noise["explained_variance"] < 0.3
    assert noise["effective_rank"] > 15
    assert noise["systematic_share"] < 0.1
    assert noise["circle_fit_anchors"] < 0.3


def test_a_rotation_orthogonal_to_a_translation_has_overlap_0_and_with_itself_1() -> None:
    rotation = factor_geometry(features(), REFERENCE, 2, ANGLES)[1]
    steps = torch.linspace(-1, 1, 15).view(1, 15, 1)
    moved = torch.cat([torch.zeros(50, 15, 31), steps.expand(50, 15, 1)], dim=-1) + torch.randn(
        50, 1, 32
    )
    translation = factor_geometry(moved, 7, 1)[1]
    assert float(subspace_overlap(rotation, translation)) == pytest.approx(0.0, abs=1e-9)
    assert float(subspace_overlap(rotation, rotation)) == pytest.approx(1.0)


@pytest.mark.parametrize("turns", [1, -1])
def test_the_circle_may_be_shifted_scaled_turned_and_mirrored_but_not_run_through_twice(
    turns: int,
) -> None:
    t = turns * ANGLES + 0.7
    points = 3 * torch.stack([t.cos(), t.sin()], dim=-1) + torch.tensor([5.0, -2.0])
    assert float(circle_fit(points, ANGLES)) == pytest.approx(1.0)
    twice = torch.stack([(2 * ANGLES).cos(), (2 * ANGLES).sin()], dim=-1)
    assert float(circle_fit(twice, ANGLES)) == pytest.approx(0.0, abs=1e-9)


def test_harmonics_tell_one_period_from_two_whatever_the_planes() -> None:
    planes = torch.linalg.qr(torch.randn(20, 8, 2)).Q  # every anchor has its own
    for turns, at in ((1, 0), (2, 1)):
        circle = torch.stack([(turns * ANGLES).cos(), (turns * ANGLES).sin()], dim=-1).float()
        shares = harmonic_shares(
            torch.einsum("sk,ndk->nsd", circle, planes) + torch.randn(20, 1, 8)
        )
        assert float(shares[at]) == pytest.approx(1.0, abs=1e-6)
        assert float(shares.sum()) == pytest.approx(1.0)
    assert float(harmonic_shares(torch.randn(200, 36, 8))[0]) < 0.1
    noise = harmonic_shares(torch.randn(2000, 4, 8))
    # of white noise: two of three degrees of freedom
    assert float(noise[0]) == pytest.approx(2 / 3, abs=0.02)


def test_a_full_turn_leaves_its_end_out() -> None:
    assert is_full_turn(ANGLES)
    assert not is_full_turn(torch.linspace(-math.pi, math.pi, 37))
    assert not is_full_turn(ANGLES / 2)


def test_a_flattened_circle_loses_what_the_ellipse_lacks() -> None:
    """Axes a and b: the best circle has radius (a + b) / 2, so R² = (a + b)² / (2 (a² + b²))."""
    points = torch.stack([2.0 * ANGLES.cos(), 1.0 * ANGLES.sin()], dim=-1)
    assert float(circle_fit(points, ANGLES)) == pytest.approx(9 / 10)
    line = torch.stack([ANGLES.cos(), 0 * ANGLES], dim=-1)
    assert float(circle_fit(line, ANGLES)) == pytest.approx(0.5)


def test_what_does_not_move_has_neither_share_nor_fit() -> None:
    still = torch.randn(5, 1, 8).expand(5, 36, 8)
    values, _ = factor_geometry(still, REFERENCE, 2, ANGLES)
    assert values["systematic_share"] == 0.0
    assert values["circle_fit"] == 0.0
    assert float(systematic_share(torch.zeros(3, 4, 2))) == 0.0


def test_stability_is_1_for_a_subspace_that_stays_and_0_for_one_that_left() -> None:
    basis = torch.eye(6, dtype=torch.float64)[:, :2]
    turn = torch.linalg.qr(torch.randn(2, 2, dtype=torch.float64)).Q
    # another basis, the same subspace
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
def test_other_shapes_are_refused(z: Tensor, reference: int, k: int) -> None:
    with pytest.raises(ValueError):
        factor_geometry(z, reference, k)
