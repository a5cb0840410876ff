import numpy as np
import pytest
import torch

from arc_plain import plain_patches
from arc_token_tasks import check_form, grid, noise_grids, real_grids, same_tokens
from jepa_lab.studies.arc.data.tokens.patches import Patches


@pytest.mark.parametrize("patch", [1, 2, 3, 7, 30])
def test_the_patches_contain_every_cell_of_the_grid(patch: int) -> None:
    grids = [*real_grids(3), *(g for g in noise_grids(12) if patch > 1 or g.size < 100)]
    tokens = Patches(patch)(grids)
    check_form(tokens)
    for i, one in enumerate(grids):
        canvas = np.full((30 + 2 * patch, 30 + 2 * patch), 10)
        for place in torch.nonzero(tokens.mask[i]).flatten().tolist():
            row, col = (round(v * 30) for v in tokens.features[i, place, :2].tolist())
            canvas[row : row + patch, col : col + patch] = tokens.colors[i, place].view(
                patch, patch
            )
        np.testing.assert_array_equal(canvas[: one.shape[0], : one.shape[1]], one)
        assert (canvas != 10).sum() == one.size


def test_the_tokens_equal_those_of_the_plain_tokeniser() -> None:
    grids = [*real_grids(20), *noise_grids(40), np.ones((30, 30), np.uint8)]
    tokens = Patches(3)(grids)
    for i, one in enumerate(grids):
        features, mask, adjacency, colors = plain_patches(one)
        np.testing.assert_allclose(tokens.features[i], features, atol=1e-6)
        np.testing.assert_array_equal(tokens.mask[i], mask)
        np.testing.assert_array_equal(tokens.adjacency[i], adjacency)
        np.testing.assert_array_equal(tokens.colors[i], colors)


def test_a_grid_of_four_by_two_has_the_expected_tokens() -> None:
    tokens = Patches(3)([grid("12", "34", "56", "78")])
    assert tokens.mask.tolist() == [[True, True]]
    assert tokens.colors[0].tolist() == [
        [1, 2, 10, 3, 4, 10, 5, 6, 10],
        [7, 8, 10, 10, 10, 10, 10, 10, 10],
    ]
    assert tokens.features[0].flatten().tolist() == pytest.approx([0, 0, 6 / 9, 0.1, 0, 2 / 9])
    assert tokens.adjacency[0].tolist() == [[False, True], [True, False]]


def test_patches_with_a_common_edge_or_corner_are_adjacent() -> None:
    adjacency = Patches(1)([np.zeros((3, 3), np.uint8)]).adjacency[0]
    assert adjacency.sum(1).tolist() == [3, 5, 3, 5, 8, 5, 3, 5, 3]
    assert not adjacency[0, 2]
    assert adjacency[0, 4]


def test_a_call_has_as_many_places_as_its_largest_grid_needs() -> None:
    small, large = np.ones((3, 3), np.uint8), np.ones((4, 7), np.uint8)
    assert Patches(3)([small]).mask.shape == (1, 1)
    tokens = Patches(3)([small, large, np.zeros((0, 0), np.uint8)])
    check_form(tokens)
    assert tokens.mask.sum(1).tolist() == [1, 6, 0]
    assert Patches(3).max_tokens == 100
    assert Patches(7).max_tokens == 25


def test_a_grid_has_the_same_tokens_beside_a_larger_one() -> None:
    small, large = grid("10", "23"), np.ones((30, 30), np.uint8)
    alone, beside = Patches()([small]), Patches()([small, large])[:1]
    trimmed = beside.__class__(
        beside.colors[:, :1],
        beside.features[:, :1],
        beside.mask[:, :1],
        beside.adjacency[:, :1, :1],
    )
    assert same_tokens(alone, trimmed)
    assert not beside.mask[:, 1:].any()
