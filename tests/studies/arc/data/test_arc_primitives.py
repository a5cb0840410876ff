from typing import Any

import numpy as np
import pytest

from jepa_lab.studies.arc.data.synthetic.primitives import (
    PRIMITIVES,
    Undefined,
    apply_primitive,
    objects,
)
from jepa_lab.studies.arc.data.synthetic.rule_draws import OBJECTS, PUBLISHED, REPEATABLE

EMPTY, ONE, FULL = (
    np.zeros((3, 3), np.uint8),
    np.full((1, 1), 4, np.uint8),
    np.full((30, 30), 4, np.uint8),
)


def run(name: str, grid: Any, **params: Any) -> list[list[int]]:
    source = np.array(grid, dtype=np.uint8)
    before = source.copy()
    result = apply_primitive(name, source, params)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert np.array_equal(source, before)
    return result.tolist()


CASES = [
    ("mirror_x", {}, [[1, 2], [3, 4]], [[3, 4], [1, 2]]),
    ("mirror_y", {}, [[1, 2], [3, 4]], [[2, 1], [4, 3]]),
    ("rotate90", {"k": 1}, [[1, 2, 3]], [[3], [2], [1]]),
    ("rotate90", {"k": 2}, [[1, 2, 3]], [[3, 2, 1]]),
    ("rotate90", {"k": 3}, [[1, 2, 3]], [[1], [2], [3]]),
    ("translate", {"dx": 1, "dy": -1, "fill": 7}, [[1, 2], [3, 4]], [[7, 3], [7, 7]]),
    ("translate", {"dx": 9, "dy": 0}, [[1, 2]], [[0, 0]]),
    ("recolor", {"source": 2, "target": 5}, [[2, 0], [3, 2]], [[5, 0], [3, 5]]),
    ("invert_palette", {}, [[0, 2], [5, 0]], [[5, 2], [0, 5]]),
    ("threshold_gt", {"threshold": 3, "low": 1, "high": 8}, [[3, 4], [0, 9]], [[1, 8], [1, 8]]),
    (
        "flood_fill",
        {"y": 0, "x": 1, "fill": 6},
        [[1, 0, 1], [0, 0, 1], [1, 1, 0]],
        [[1, 6, 1], [6, 6, 1], [1, 1, 0]],
    ),
    (
        "extract_shape",
        {"which": "largest"},
        [[0, 2, 0, 0], [0, 2, 2, 3], [0, 0, 0, 0]],
        [[2, 0], [2, 2]],
    ),
    ("extract_shape", {"which": "smallest"}, [[0, 2, 0, 0], [0, 2, 2, 3], [0, 0, 0, 0]], [[3]]),
    ("extract_shape", {"which": "color", "color": 2}, [[4, 4, 4], [0, 2, 0]], [[2]]),
    (
        "merge_touching",
        {"value_a": 1, "value_b": 2, "target": 9},
        [[1, 0, 1], [0, 2, 0], [0, 0, 0], [2, 0, 0]],
        [[9, 0, 9], [0, 9, 0], [0, 0, 0], [2, 0, 0]],
    ),
    ("gravity", {"direction": "down"}, [[1, 2], [0, 3], [4, 0]], [[0, 0], [1, 2], [4, 3]]),
    ("gravity", {"direction": "up"}, [[0, 2], [1, 0], [4, 3]], [[1, 2], [4, 3], [0, 0]]),
    ("gravity", {"direction": "left"}, [[0, 1, 0, 2]], [[1, 2, 0, 0]]),
    ("gravity", {"direction": "right"}, [[1, 0, 2, 0]], [[0, 0, 1, 2]]),
    ("fall", {"direction": "down"}, [[1], [2], [0], [0], [3], [0]], [[0], [1], [2], [0], [0], [3]]),
    ("fall", {"direction": "left"}, [[0, 0, 5]], [[0, 5, 0]]),
    ("extend", {"color": 2, "direction": "right"}, [[2, 0, 0], [3, 0, 0]], [[2, 2, 0], [3, 0, 0]]),
    ("spread", {"color": 2}, [[0, 0, 0], [0, 2, 3], [0, 0, 0]], [[0, 2, 0], [2, 2, 3], [0, 2, 0]]),
    ("outline", {"color": 5}, [[0, 0, 0], [1, 0, 0], [0, 0, 0]], [[5, 5, 0], [1, 5, 0], [5, 5, 0]]),
    ("peel", {}, [[1, 1, 1], [1, 2, 1], [1, 1, 1]], [[0, 0, 0], [0, 2, 0], [0, 0, 0]]),
    ("hollow", {}, [[1, 1, 1], [1, 1, 1], [1, 1, 1]], [[1, 1, 1], [1, 0, 1], [1, 1, 1]]),
    ("hollow", {}, [[1, 1, 1], [1, 1, 2], [1, 1, 1]], [[1, 1, 1], [1, 1, 2], [1, 1, 1]]),
    (
        "fill_holes",
        {"color": 8},
        [[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]],
        [[1, 1, 1, 0], [1, 8, 1, 0], [1, 1, 1, 0]],
    ),
    ("keep_object", {"which": "smallest"}, [[2, 2, 0, 3]], [[0, 0, 0, 3]]),
    ("recolor_object", {"which": "largest", "target": 6}, [[2, 2, 0, 3]], [[6, 6, 0, 3]]),
    ("keep_color", {"color": 3}, [[2, 2, 0, 3]], [[0, 0, 0, 3]]),
    ("crop_to_content", {}, [[0, 0, 0], [0, 1, 0], [0, 0, 2]], [[1, 0], [0, 2]]),
    ("border", {"color": 7}, [[1, 1, 1], [1, 2, 1], [1, 1, 1]], [[7, 7, 7], [7, 2, 7], [7, 7, 7]]),
    ("append_mirror", {"direction": "right"}, [[1, 2]], [[1, 2, 2, 1]]),
    ("append_mirror", {"direction": "down"}, [[1], [2]], [[1], [2], [2], [1]]),
    ("scale_up", {"k": 2}, [[1, 2]], [[1, 1, 2, 2], [1, 1, 2, 2]]),
]


@pytest.mark.parametrize(("name", "params", "grid", "expected"), CASES)
def test_each_primitive_has_the_expected_result_on_a_small_grid(
    name: str, params: dict[str, Any], grid: Any, expected: Any
) -> None:
    assert run(name, grid, **params) == expected


def test_every_primitive_is_tested_and_every_drawn_primitive_exists() -> None:
    assert {name for name, *_ in CASES} == set(PRIMITIVES)
    assert set(PUBLISHED) | set(OBJECTS) | set(REPEATABLE) == set(PRIMITIVES)
    assert len(PUBLISHED) == 10


PARAMS: dict[str, dict[str, Any]] = {name: params for name, params, *_ in CASES}


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
@pytest.mark.parametrize("grid", [EMPTY, ONE, FULL], ids=["empty", "one", "full"])
def test_degenerate_grids_give_a_valid_grid_or_undefined(name: str, grid: np.ndarray) -> None:
    try:
        result = apply_primitive(name, grid, PARAMS[name])
    except Undefined:
        return
    assert 1 <= min(result.shape) <= max(result.shape) <= 30
    assert result.max() <= 9


@pytest.mark.parametrize(
    ("name", "grid", "params"),
    [
        ("extract_shape", EMPTY, {"which": "largest"}),
        ("extract_shape", np.array([[1, 0, 2]]), {"which": "largest"}),
        ("keep_object", np.array([[1, 0, 1]]), {"which": "color", "color": 1}),
        ("crop_to_content", EMPTY, {}),
        ("flood_fill", ONE, {"y": 0, "x": 1, "fill": 2}),
        ("scale_up", FULL, {"k": 2}),
        ("append_mirror", FULL, {"direction": "down"}),
    ],
)
def test_ambiguous_arguments_raise_undefined(
    name: str, grid: np.ndarray, params: dict[str, Any]
) -> None:
    with pytest.raises(Undefined):
        apply_primitive(name, grid.astype(np.uint8), params)


def noise(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4, rng.integers(1, 9, 2)).astype(np.uint8) * rng.integers(0, 2)


@pytest.mark.parametrize("seed", range(20))
def test_mirrors_and_palettes_are_involutions_and_four_turns_the_identity(seed: int) -> None:
    grid = noise(seed)
    for name in ("mirror_x", "mirror_y", "invert_palette"):
        assert np.array_equal(apply_primitive(name, apply_primitive(name, grid, {}), {}), grid)
    turned = grid
    for _ in range(4):
        turned = apply_primitive("rotate90", turned, {"k": 1})
    assert np.array_equal(turned, grid)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("direction", ["down", "up", "left", "right"])
def test_falling_until_nothing_changes_is_gravity_and_loses_no_cell(
    seed: int, direction: str
) -> None:
    grid = noise(seed)
    fallen = grid
    for _ in range(10):
        fallen = apply_primitive("fall", fallen, {"direction": direction})
        assert np.array_equal(
            np.bincount(fallen.flat, minlength=4), np.bincount(grid.flat, minlength=4)
        )
    assert np.array_equal(fallen, apply_primitive("gravity", grid, {"direction": direction}))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "name", ["peel", "hollow", "outline", "fill_holes", "spread", "invert_palette"]
)
def test_primitives_without_a_direction_commute_with_turning_the_grid(seed: int, name: str) -> None:
    grid = noise(seed)
    params = {"color": 2} if name in ("outline", "fill_holes", "spread") else {}
    turned = apply_primitive(name, np.ascontiguousarray(np.rot90(grid)), params)
    assert np.array_equal(turned, np.rot90(apply_primitive(name, grid, params)))


def test_objects_are_4_connected_regions_of_one_colour() -> None:
    grid = np.array([[1, 1, 2], [0, 2, 1], [3, 0, 1]], dtype=np.uint8)
    assert sorted(int(mask.sum()) for mask in objects(grid)) == [1, 1, 1, 2, 2]
    assert objects(EMPTY) == []
