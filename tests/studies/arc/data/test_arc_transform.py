import itertools

import numpy as np
import pytest

from jepa_lab.studies.arc.data.task import LARGEST
from jepa_lab.studies.arc.data.transform import (
    SYMMETRIES,
    Transform,
    Transforms,
    apply_many,
    apply_symmetry,
    free_room,
    shift_grid,
    turn_room,
)

CORNER = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
SWAPPED = (0, 2, 1, 3, 4, 5, 6, 7, 8, 9)
MOVED = (4, 0, 1, 3, 2, 9, 8, 7, 6, 5)  # the background too


def framed(height: int, width: int, margin: int, seed: int) -> np.ndarray:
    """Returns random content with `margin` empty cells around it."""
    grid = np.zeros((height + 2 * margin, width + 2 * margin), dtype=np.uint8)
    grid[margin : margin + height, margin : margin + width] = np.random.default_rng(seed).integers(
        1, 10, (height, width)
    )
    return grid


def transforms() -> list[Transform]:
    choices = itertools.product(
        (tuple(range(10)), SWAPPED, MOVED), range(SYMMETRIES), ((0, 0), (1, -1), (-1, 0))
    )
    return [Transform(*choice) for choice in choices]


def test_the_eight_symmetries_have_the_expected_results() -> None:
    expected = [
        [[1, 2, 3], [4, 5, 6]],
        [[3, 6], [2, 5], [1, 4]],
        [[6, 5, 4], [3, 2, 1]],
        [[4, 1], [5, 2], [6, 3]],
        [[1, 4], [2, 5], [3, 6]],
        [[4, 5, 6], [1, 2, 3]],
        [[6, 3], [5, 2], [4, 1]],
        [[3, 2, 1], [6, 5, 4]],
    ]
    assert [apply_symmetry(CORNER, s).tolist() for s in range(SYMMETRIES)] == expected


def test_a_shift_moves_down_and_right_and_fills() -> None:
    grid = np.array([[0, 0, 0], [0, 7, 0]], dtype=np.uint8)
    assert shift_grid(grid, (-1, 1), 0).tolist() == [[0, 0, 7], [0, 0, 0]]


@pytest.mark.parametrize("shift", [(1, 0), (0, -1), (5, 5), (0, 30)])
def test_a_shift_that_would_lose_a_cell_raises_an_error(shift: tuple[int, int]) -> None:
    grid = np.zeros((3, 3), dtype=np.uint8)
    grid[2, 0] = 4
    with pytest.raises(ValueError, match="pushes cells out of a grid of 3x3"):
        shift_grid(grid, shift, 0)


def test_a_shift_of_an_empty_grid_changes_nothing() -> None:
    grid = np.zeros((1, 1), dtype=np.uint8)
    assert np.array_equal(Transform(shift=(9, -9)).apply(grid), grid)


@pytest.mark.parametrize("transform", transforms())
def test_transform_and_inverse_cancel_in_either_order(transform: Transform) -> None:
    grid = framed(4, 6, 1, seed=1)
    back = transform.inverse()
    assert np.array_equal(back.apply(transform.apply(grid)), grid)
    assert back.inverse() == transform
    assert transform.compose(back) == Transform(background=transform.palette[0])


def test_the_composition_of_two_transforms_applies_one_after_the_other() -> None:
    grid = framed(3, 5, 3, seed=2)
    for first in transforms():
        for last in transforms()[::5]:
            second = Transform(last.palette, last.symmetry, last.shift, first.palette[0])
            assert np.array_equal(
                second.compose(first).apply(grid), second.apply(first.apply(grid))
            )


def test_the_symmetries_are_a_group_of_eight() -> None:
    elements = [Transform(symmetry=s) for s in range(SYMMETRIES)]
    table = np.array([[a.compose(b).symmetry for b in elements] for a in elements])
    assert all(sorted(row) == list(range(SYMMETRIES)) for row in (*table, *table.T))
    assert not np.array_equal(table, table.T)  # it does not commute
    assert [a.compose(a).symmetry == 0 for a in elements] == [
        True,
        False,
        True,
        False,
        True,
        True,
        True,
        True,
    ]


def test_composing_with_another_background_raises_an_error() -> None:
    with pytest.raises(ValueError, match="background 0 becomes 4, not 0"):
        Transform().compose(Transform(MOVED))


def test_many_grids_at_once_give_the_same_results_as_one_at_a_time() -> None:
    every = transforms()
    batch = Transforms(
        np.array([t.palette for t in every], dtype=np.uint8),
        np.array([t.symmetry for t in every]),
        np.array([t.shift for t in every]),
        np.array([t.background for t in every]),
    )
    grids = [framed(1 + i % 7, 1 + i % 5, 1, seed=i) for i in range(150)]
    rows = [i * 7 % len(every) for i in range(150)]
    for grid, row, result in zip(grids, rows, apply_many(grids, batch, rows), strict=True):
        assert batch[row] == every[row]
        assert result.dtype == np.uint8
        assert np.array_equal(result, every[row].apply(grid))
    assert len(apply_many([], batch, [])) == 0
    with pytest.raises(ValueError, match="150 grids, but 3 rows"):
        apply_many(grids, batch, [0, 1, 2])


def test_room_is_the_smallest_margin_of_the_non_empty_grids() -> None:
    first, second = np.zeros((6, 8), dtype=np.uint8), np.zeros((4, 4), dtype=np.uint8)
    first[1, 2], first[3, 4], second[2, 1] = 5, 5, 5
    assert free_room([first]).tolist() == [1, 2, 2, 3]
    assert free_room([first, second, np.zeros((1, 1), np.uint8)]).tolist() == [1, 1, 1, 2]
    assert free_room([np.zeros((1, 1), np.uint8)]).tolist() == [LARGEST] * 4
    assert free_room([np.full((30, 30), 3, np.uint8)]).tolist() == [0] * 4


def test_room_turns_with_the_grid() -> None:
    grid = np.zeros((9, 12), dtype=np.uint8)
    grid[1:5, 3:8] = 6
    rooms = turn_room(np.tile(free_room([grid]), (SYMMETRIES, 1)), np.arange(SYMMETRIES))
    assert rooms.tolist() == [
        free_room([apply_symmetry(grid, s)]).tolist() for s in range(SYMMETRIES)
    ]
