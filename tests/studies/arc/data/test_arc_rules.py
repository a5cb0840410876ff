import itertools
from random import Random

import numpy as np
import pytest

from jepa_lab.studies.arc.data.synthetic.primitives import PRIMITIVES, Undefined
from jepa_lab.studies.arc.data.synthetic.rule_draws import Scope, draw_rule
from jepa_lab.studies.arc.data.synthetic.rule_kinds import PRIMITIVES_BY_KIND, kind_of
from jepa_lab.studies.arc.data.synthetic.rules import (
    Condition,
    Conditional,
    Repeat,
    RuleStep,
    Sequence,
)
from jepa_lab.studies.arc.data.synthetic.scenes import SHAPES, draw_shape, noise_scene, object_scene
from jepa_lab.studies.arc.data.transform import apply_symmetry

ROW = np.array([[2, 0, 0, 0]], dtype=np.uint8)
MOVE = RuleStep("translate", (("dx", 1), ("dy", 0), ("fill", 0)))
PAINT = RuleStep("recolor", (("source", 2), ("target", 5)))
RAY = RuleStep("extend", (("color", 2), ("direction", "right")))


def rows(states: list[np.ndarray]) -> list[list[int]]:
    return [state[0].tolist() for state in states]


def test_a_sequence_returns_the_state_after_every_step() -> None:
    rule = Sequence((MOVE, PAINT))
    assert rows(rule.states(ROW)) == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 5, 0, 0]]
    assert str(rule) == "translate(dx=1, dy=0, fill=0), then recolor(source=2, target=5)"


def test_a_step_repeats_a_number_of_times_or_until_nothing_changes() -> None:
    assert rows(Repeat(MOVE, 2).states(ROW)) == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
    assert rows(Repeat(RAY, None).states(ROW)) == [
        [2, 0, 0, 0],
        [2, 2, 0, 0],
        [2, 2, 2, 0],
        [2, 2, 2, 2],
    ]
    assert str(Repeat(RAY, None)) == "extend(color=2, direction=right), until nothing changes"


def test_a_repetition_that_never_stops_changing_is_undefined() -> None:
    with pytest.raises(Undefined, match=r"mirror_y.* still changes the grid"):
        Repeat(RuleStep("mirror_y"), None).states(ROW)


def test_the_longest_way_through_a_grid_is_within_the_limit() -> None:
    grid = np.zeros((30, 30), dtype=np.uint8)
    grid[0, 0] = 2
    states = Repeat(RuleStep("spread", (("color", 2),)), None).states(grid)
    assert len(states) == 59
    assert (states[-1] == 2).all()


def test_a_condition_chooses_the_branch() -> None:
    rule = Conditional(Condition("has_color", (("color", 2),)), PAINT, RuleStep("mirror_y"))
    assert rows(rule.states(ROW)) == [[2, 0, 0, 0], [5, 0, 0, 0]]
    assert rows(rule.states(ROW // 2)) == [[1, 0, 0, 0], [0, 0, 0, 1]]


def test_conditions_hold_for_the_expected_grids() -> None:
    grid = np.array([[1, 0, 1], [0, 2, 2]], dtype=np.uint8)
    assert [Condition("more_objects_than", (("n", n),)).holds(grid) for n in (2, 3)] == [
        True,
        False,
    ]
    assert [Condition("taller_than_wide").holds(g) for g in (grid, grid.T, grid[:, :2])] == [
        False,
        True,
        False,
    ]
    with pytest.raises(ValueError, match="no condition 'is_red'"):
        Condition("is_red").holds(grid)


@pytest.mark.parametrize(
    ("phase", "kind"), [(1, RuleStep), (2, Sequence), (3, Conditional), (4, Repeat)]
)
@pytest.mark.parametrize("colors", [(4,), (1, 2), (2, 5, 9)])
def test_rules_have_the_shape_of_their_phase_and_colours_of_the_scope(
    phase: int, kind: type, colors: tuple[int, ...]
) -> None:
    rng = Random(1)
    for _ in range(200):
        rule = draw_rule(rng, phase, Scope(colors, 5))
        assert isinstance(rule, kind)
        if isinstance(rule, Sequence):
            assert 2 <= len(rule.steps) <= 3
            steps = list(rule.steps)
        elif isinstance(rule, Conditional):
            assert rule.then != rule.otherwise
            steps = [rule.then, rule.otherwise]
        else:
            steps = [rule.step if isinstance(rule, Repeat) else rule]  # type: ignore[list-item]
        for name, value in itertools.chain.from_iterable(step.params for step in steps):
            if name in ("color", "source", "target", "fill", "low", "high", "value_a", "value_b"):
                assert value in (0, *colors)


@pytest.mark.parametrize("seed", range(60))
def test_objects_of_a_scene_have_its_colours_and_never_touch(seed: int) -> None:
    from scipy import ndimage

    rng = Random(seed)
    height, width = rng.randint(3, 30), rng.randint(3, 30)
    grid = object_scene(rng, height, width, (3, 7))
    assert grid.shape == (height, width)
    assert set(np.unique(grid)) - {0} <= {3, 7}
    labels, n = ndimage.label(grid != 0, structure=np.ones((3, 3)))
    assert 1 <= n <= 8
    assert all(len(np.unique(grid[labels == number])) == 1 for number in range(1, n + 1))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("space", [(3, 3), (5, 4), (5, 5), (1, 1), (1, 5), (5, 2)])
def test_shapes_are_connected_and_fill_their_box_within_the_space(
    name: str, space: tuple[int, int]
) -> None:
    from scipy import ndimage

    rng = Random(0)
    for _ in range(50):
        mask = draw_shape(rng, name, *space)
        assert mask.shape[0] <= space[0]
        assert mask.shape[1] <= space[1]
        assert mask.any(axis=0).all()
        assert mask.any(axis=1).all()
        assert ndimage.label(mask)[1] == 1


def test_a_box_is_hollow_and_a_corner_and_a_tee_are_two_lines() -> None:
    def lines(mask: np.ndarray, place: int) -> bool:
        wanted = np.zeros_like(mask)
        wanted[0], wanted[:, place] = True, True
        return any(np.array_equal(mask, apply_symmetry(wanted, s)) for s in range(8))

    rng = Random(0)
    for _ in range(50):
        box = draw_shape(rng, "box", 5, 5)
        assert not box[1:-1, 1:-1].any()
        assert box.sum() == 2 * sum(box.shape) - 4
        tee = draw_shape(rng, "tee", 3, 5)
        assert tee.shape == (3, 3)
        assert lines(tee, 1)
        corner = draw_shape(rng, "corner", 3, 3)
        assert lines(corner, 0)


def test_noise_has_the_published_density() -> None:
    grid = np.concatenate([noise_scene(Random(n), 30, 30, (1, 2, 3), 0.6) for n in range(20)])
    # each colour of four, background included, is drawn with probability .6 / 4; the rest is
    # background
    counts = np.bincount(grid.ravel(), minlength=4) / grid.size
    assert counts == pytest.approx([0.55, 0.15, 0.15, 0.15], abs=0.015)


def test_every_primitive_has_one_kind() -> None:
    names = list(itertools.chain.from_iterable(PRIMITIVES_BY_KIND.values()))
    assert sorted(names) == sorted(PRIMITIVES)


def test_the_kind_of_a_rule_is_that_of_its_only_step_or_its_form() -> None:
    branches = Conditional(Condition("taller_than_wide"), MOVE, PAINT)
    rules = (MOVE, PAINT, RAY, Sequence((MOVE,)), branches, Repeat(MOVE, 2))
    assert [kind_of(rule) for rule in rules] == [
        *("move", "recolor", "draw"),
        *("sequential", "conditional", "repeated"),
    ]
