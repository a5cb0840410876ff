import numpy as np
import pytest
import torch

from arc_plain import plain_published_slots
from arc_token_tasks import check_form, grid, noise_grids, real_grids
from jepa_lab.studies.arc.data.tokens.published_slots import PublishedSlots


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("respect_colors", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
def test_the_tokens_equal_those_of_the_plain_tokeniser(
    connectivity: int, respect_colors: bool, normalize: bool
) -> None:
    grids = [*real_grids(25), *noise_grids(60)]
    options = {
        "connectivity": connectivity,
        "respect_colors": respect_colors,
        "normalize": normalize,
    }
    tokens = PublishedSlots(16, **options)(grids)
    check_form(tokens)
    for i, one in enumerate(grids):
        features, mask, adjacency = plain_published_slots(one, **options)
        np.testing.assert_allclose(tokens.features[i], features, atol=1e-6)
        np.testing.assert_array_equal(tokens.mask[i], mask)
        np.testing.assert_array_equal(tokens.adjacency[i], adjacency)


def test_two_cells_of_nine_have_area_2_9_and_perimeter_6_9() -> None:
    tokens = PublishedSlots()([grid("110", "000", "003")])
    area, perimeter, height, width, aspect, n_colors, dominant, y, x, *box = tokens.features[
        0, 0, :13
    ].tolist()
    assert (area, perimeter) == pytest.approx((2 / 9, 6 / 9))
    assert (height, width, aspect) == pytest.approx((1 / 3, 2 / 3, 2))
    assert (n_colors, dominant) == (1, 1)
    assert (y, x) == pytest.approx((0, 0.5 / 3))
    assert box == pytest.approx([0, 0, 0, 1 / 3])
    assert tokens.features[0, 0, 13:].tolist() == pytest.approx([2 / 9] + [0] * 9)
    assert tokens.features[0, 1, 6] == 3


def test_counts_are_packed_and_the_first_of_equal_colours_dominates() -> None:
    tokens = PublishedSlots(respect_colors=False, normalize=False)([grid("73", "37", "90")])
    assert tokens.mask.sum() == 1
    assert tokens.features[0, 0, 5:7].tolist() == [3, 7]
    assert tokens.features[0, 0, 13:17].tolist() == [2, 2, 1, 0]


def test_the_published_tokens_have_no_colours_and_lose_small_objects() -> None:
    tokens = PublishedSlots(2)([grid("1102", "0000", "3330", "0000")])
    assert tokens.colors.shape == (1, 2, 0)
    assert tokens.features[0, :, 6].tolist() == [3, 1]
    assert tokens.mask.all()


def test_a_grid_without_objects_has_no_token() -> None:
    tokens = PublishedSlots()([np.zeros((30, 30), np.uint8), np.zeros((1, 1), np.uint8)])
    assert not tokens.mask.any()
    assert not tokens.features.any()
    assert torch.equal(tokens.adjacency, torch.zeros(2, 16, 16, dtype=torch.bool))
