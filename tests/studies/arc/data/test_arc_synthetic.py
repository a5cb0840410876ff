import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.synthetic.rule_kinds import kind_of
from jepa_lab.studies.arc.data.synthetic.rules import Conditional, Repeat, RuleStep, Sequence
from jepa_lab.studies.arc.data.synthetic.synthetic import (
    SyntheticTasks,
    synthetic_splits,
    synthetic_tasks,
)
from jepa_lab.studies.arc.data.task import ArcTask
from jepa_lab.studies.arc.data.task_splits import contents


def every(made: SyntheticTasks) -> list[ArcTask]:
    return [*made.splits.train, *made.splits.val, *made.splits.test]


@pytest.fixture(scope="module")
def made() -> SyntheticTasks:
    return synthetic_tasks(n_train=160, n_val=40, n_test=40, seed=7)


def test_every_output_is_the_result_of_the_recorded_rule(made: SyntheticTasks) -> None:
    for task in every(made):
        assert (len(task.train), len(task.test)) == (3, 1)
        for pair in (*task.train, *task.test):
            states = made.rules[task.task_id].states(pair.input)
            assert np.array_equal(states[-1], pair.output)
            assert all(not np.array_equal(a, b) for a, b in pairwise(states))
            assert not np.array_equal(pair.input, pair.output)
            assert pair.output.any()
            assert 5 <= min(pair.input.shape) <= max(pair.input.shape) <= 12
            assert 1 <= min(pair.output.shape) <= max(pair.output.shape) <= 30
            assert task.kind == kind_of(made.rules[task.task_id])
    assert set(made.rules) == {task.task_id for task in every(made)}


def test_tasks_have_distinct_pairs_distinct_inputs_and_several_outputs(
    made: SyntheticTasks,
) -> None:
    keys = [key for task in every(made) for key in set(contents(task))]
    assert len(keys) == len(set(keys))
    for task in every(made):
        pairs = (*task.train, *task.test)
        assert len({(p.input.shape, p.input.tobytes()) for p in pairs}) == 4
        assert len({(p.output.shape, p.output.tobytes()) for p in pairs}) > 1


def test_frames_lead_from_input_to_output_if_there_are_three_states(made: SyntheticTasks) -> None:
    for task in every(made):
        ends = {(p.input.tobytes(), p.output.tobytes()) for p in (*task.train, *task.test)}
        assert {(f[0].tobytes(), f[-1].tobytes()) for f in task.frames} <= ends
        for frames in task.frames:
            assert len({(g.shape, g.tobytes()) for g in frames}) >= 3
            assert all(not np.array_equal(a, b) for a, b in pairwise(frames))
        expected = 4 if isinstance(made.rules[task.task_id], Sequence | Repeat) else 0
        assert len(task.frames) == expected


def test_demonstrations_of_a_condition_show_both_branches(made: SyntheticTasks) -> None:
    rules = [(made.rules[t.task_id], t) for t in every(made)]
    conditional = [(rule, task) for rule, task in rules if isinstance(rule, Conditional)]
    assert len(conditional) >= 40
    for rule, task in conditional:
        assert {rule.condition.holds(pair.input) for pair in task.train} == {True, False}


def test_phases_have_their_shares_in_every_prefix() -> None:
    made = synthetic_tasks(n_train=20, n_val=4, n_test=1, phases={"atomic": 3, 4: 1})
    for n in (4, 8, 20):
        kinds = [type(made.rules[t.task_id]) for t in made.splits.train[:n]]
        assert (kinds.count(RuleStep), kinds.count(Repeat)) == (3 * n // 4, n // 4)
    assert [t.task_id[-6:] for t in made.splits.val].count("phase4") == 1


def test_tasks_depend_on_the_seed_not_on_the_global_random_state() -> None:
    prints = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)
        prints.append(synthetic_splits(n_train=20, n_val=5, n_test=5, seed=3).fingerprint())
    assert prints[0] == prints[1]
    assert synthetic_splits(n_train=20, n_val=5, n_test=5, seed=4).fingerprint() != prints[0]


def test_a_larger_number_of_tasks_only_appends_tasks() -> None:
    few = synthetic_splits(n_train=10, n_val=5, n_test=5)
    many = synthetic_splits(n_train=30, n_val=5, n_test=5)
    assert [contents(t) for t in many.train[:10]] == [contents(t) for t in few.train]
    assert [contents(t) for t in many.test] == [contents(t) for t in few.test]


def test_noise_is_dense_in_the_first_colours_and_objects_are_sparse(made: SyntheticTasks) -> None:
    options = {"style": "noise", "phases": {1: 3, 2: 2}, "colors": (4, 4)}
    noisy = synthetic_splits(n_train=60, n_val=1, n_test=1, **options)
    inputs = np.concatenate([p.input.ravel() for t in noisy.train for p in t.train])
    assert set(np.unique(inputs)) == {0, 1, 2, 3}
    # .75 * 3/4, a little apart since rules choose among inputs
    assert 0.5 < (inputs > 0).mean() < 0.62
    sparse = np.concatenate([p.input.ravel() for t in made.splits.train for p in t.train])
    assert (sparse > 0).mean() < 0.4


@pytest.mark.parametrize(
    "options",
    [
        {"sizes": (3, 3)},
        {"sizes": (30, 30)},
        {"colors": (2, 2)},
        {"colors": (10, 10)},
        {"pairs": (1, 0)},
    ],
)
def test_tasks_are_found_at_the_ends_of_every_range(options: dict[str, Any]) -> None:
    splits = synthetic_splits(n_train=12, n_val=4, n_test=4, **options)
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [12, 4, 4]
    for task in splits.train:
        assert len(task.train) == options.get("pairs", (3, 1))[0]
        assert {side for p in task.train for side in p.input.shape} <= set(
            range(*options.get("sizes", (5, 12)))
        ) | {options.get("sizes", (5, 12))[1]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "clouds"}, "dataset.synthetic.style=clouds: there are objects and noise"),
        (
            {"sizes": (2, 9)},
            r"dataset.synthetic.sizes=\[2, 9\]: expected the least and the most, from 3 to 30",
        ),
        ({"sizes": (9, 5)}, r"sizes=\[9, 5\]"),
        ({"sizes": (9, 31)}, r"sizes=\[9, 31\]"),
        ({"sizes": (9,)}, r"sizes=\[9\]: two whole numbers"),
        ({"sizes": (5, 9.5)}, r"sizes=\[5, 9.5\]: two whole numbers"),
        ({"colors": (1, 4)}, r"colors=\[1, 4\]: expected the least and the most, from 2 to 10"),
        ({"colors": (3, 11)}, r"colors=\[3, 11\]"),
        ({"pairs": (0, 0)}, r"pairs=\[0, 0\]: numbers of demonstrations and test pairs"),
        ({"fill": 0}, "dataset.synthetic.fill=0: the share of cells"),
        (
            {"phases": {"hard": 1}},
            "dataset.synthetic.phases.hard: no such phase; there are 1 to 4 or atomic",
        ),
        ({"phases": {5: 1}}, "phases.5: no such phase"),
        ({"phases": {1: -1}}, "phases.1=-1: a share or a number of tasks"),
        ({"phases": {1: 0}}, "phases: no phase has a share above 0"),
        ({"phases": {}}, "phases: no phase has a share above 0"),
        ({"n_train": -1}, "dataset.train_tasks=-1: a number of tasks, 0 or more"),
    ],
)
def test_the_error_of_an_invalid_option_names_the_key(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        synthetic_splits(**{"n_train": 1, "n_val": 1, "n_test": 1, **options})


def test_the_error_without_a_possible_task_suggests_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # no input of the noise style has this colour: every output is empty
    blank = RuleStep("keep_color", (("color", 9),))
    monkeypatch.setattr(
        "jepa_lab.studies.arc.data.synthetic.synthetic.draw_rule", lambda *args: blank
    )
    with pytest.raises(
        UserError,
        match=r"no new task of phase 2 after 500 rules .*, more colours or fewer tasks are",
    ):
        synthetic_splits(n_train=1, n_val=0, n_test=0, style="noise", phases={2: 1})


def test_a_task_with_grids_of_another_task_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    # of the 512 grids of 3x3 cells and one colour, mirror_x changes 448: among 290 draws some must
    # come up twice
    monkeypatch.setattr(
        "jepa_lab.studies.arc.data.synthetic.synthetic.draw_rule",
        lambda *args: RuleStep("mirror_x"),
    )
    made = synthetic_splits(
        n_train=250, n_val=20, n_test=20, style="noise", sizes=(3, 3), colors=(2, 2), pairs=(1, 0)
    )
    keys = [
        key
        for split in (made.train, made.val, made.test)
        for task in split
        for key in contents(task)
    ]
    assert len(keys) == len(set(keys)) == 290


def test_a_rule_with_the_same_output_for_all_inputs_is_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paint = RuleStep("threshold_gt", (("threshold", 9), ("low", 5), ("high", 5)))
    monkeypatch.setattr(
        "jepa_lab.studies.arc.data.synthetic.synthetic.draw_rule", lambda *args: paint
    )
    options: dict[str, Any] = {"n_val": 0, "n_test": 0, "phases": {1: 1}, "pairs": (2, 0)}
    assert len(synthetic_splits(n_train=1, **options).train) == 1  # of two sizes
    with pytest.raises(UserError, match="no new task of phase 1"):
        synthetic_splits(n_train=1, sizes=(4, 4), **options)
