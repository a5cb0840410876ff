"""The parts of the variance between images, places and the rest."""

from __future__ import annotations

import pytest
import torch

from jepa_lab.metrics import feature_std_l2, mean_pairwise_cosine, within_share
from jepa_lab.metrics.variance_parts import (
    between_share,
    indexed,
    place_cosine,
    place_spread,
    variance_parts,
    view_correlation,
    without_place,
)

N, V, D = 400, 4, 32


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_parts_of_a_sum_of_image_place_and_rest_are_their_variances() -> None:
    image, place = torch.tensor([-1.0, 1.0]), torch.tensor([-2.0, 0.0, 2.0])
    z = (image[:, None] + place)[:, :, None]
    assert variance_parts(*indexed(z)) == pytest.approx((3 / 11, 8 / 11, 0.0))
    mixed = z * torch.tensor([1.0, -1.0])[:, None, None]  # the place means something else
    found = variance_parts(*indexed(mixed))
    assert sum(found) == pytest.approx(1.0)
    assert found.rest == pytest.approx(1 - found.image - found.place)
    assert variance_parts(*indexed(torch.ones(3, 2, 4))) == (0.0, 0.0, 0.0)


def test_unrelated_views_have_the_shares_of_chance_and_no_correlation() -> None:
    x, image, place = indexed(normal(N, V, D))
    found = variance_parts(x, image, place)
    assert found.image == pytest.approx(1 / V, abs=0.01)
    assert found.place == pytest.approx(1 / N, abs=0.002)
    assert abs(view_correlation(x, image, place)) < 0.01


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 2.0])
def test_view_correlation_is_the_share_of_the_image(noise: float) -> None:
    z = normal(N, 1, D) + noise * normal(N, V, D, seed=1) + 3 * normal(1, V, D, seed=2)
    expected = 1 / (1 + noise**2)
    assert view_correlation(*indexed(z)) == pytest.approx(expected, abs=0.02)
    assert view_correlation(*indexed(1e-6 * z + 7)) == pytest.approx(expected, abs=0.02)


def test_correlation_and_parts_agree_with_within_share_where_places_do_not_differ() -> None:
    z = normal(N, 1, D) + normal(N, V, D, seed=1)
    found = variance_parts(*indexed(z))
    assert found.place + found.rest == pytest.approx(float(within_share(z)), abs=1e-9)


def test_missing_rows_do_not_bias_the_correlation() -> None:
    z = normal(N, 1, D) + normal(N, V, D, seed=1)
    x, image, place = indexed(z)
    kept = torch.rand(N * V, generator=torch.Generator().manual_seed(3)) < 0.7
    found = view_correlation(x[kept], image[kept], place[kept])
    assert found == pytest.approx(0.5, abs=0.03)
    assert sum(variance_parts(x[kept], image[kept], place[kept])) == pytest.approx(1.0)


def test_images_that_are_alike_leave_nothing_without_their_place() -> None:
    x, _, place = indexed(normal(1, V, D).expand(N, V, D))
    assert float(without_place(x, place).abs().max()) < 1e-12
    assert place_cosine(x, place) == pytest.approx(1.0)
    assert place_spread(x, place) == pytest.approx(0.0, abs=1e-7)


def test_one_place_has_the_spread_and_the_cosine_of_its_rows() -> None:
    z = normal(N, D) + 1
    place = torch.zeros(N, dtype=torch.long)
    assert place_cosine(z, place) == pytest.approx(float(mean_pairwise_cosine(z)))
    assert place_spread(z, place) == pytest.approx(float(feature_std_l2(z)))


def test_too_few_rows_raise() -> None:
    x, image, place = indexed(normal(N, 1, D))
    with pytest.raises(ValueError, match="2 images of 2 rows"):
        view_correlation(x, image, place)
    with pytest.raises(ValueError, match="two images at some place"):
        place_cosine(*indexed(normal(1, V, D))[::2])
    assert view_correlation(*indexed(torch.ones(3, 2, 4))) == 0.0


def test_the_share_between_groups_is_that_of_their_means() -> None:
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(10, 1) * 5
    z[::4, 1], z[2::4, 1] = 1.0, -1.0  # the first group varies, the second does not
    group = torch.arange(20) % 2
    assert between_share(z, group) == pytest.approx(25 / 25.5)
    assert between_share(7 * z + 100, group) == pytest.approx(25 / 25.5)
    assert between_share(z, torch.zeros(20, dtype=torch.long)) == 0.0
    assert between_share(torch.ones(20, 2), group) == 0.0
