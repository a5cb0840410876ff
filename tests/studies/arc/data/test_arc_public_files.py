"""The shapes of public files of tasks: lists of pairs or tasks, and the folder of a competition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.json_files import read_task_file
from jepa_lab.studies.arc.data.reading.json_tasks import json_splits
from jepa_lab.studies.arc.data.task import ArcTask, TaskSplits


def pair(n: int) -> dict[str, Any]:
    return {"input": [[n // 100, n // 10 % 10, n % 10]], "output": [[n % 10], [n // 10 % 10]]}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def every(splits: TaskSplits) -> dict[str, ArcTask]:
    return {t.task_id: t for t in (*splits.train, *splits.val, *splits.test)}


def outputs(task: ArcTask) -> list[Any]:
    return [p.output.tolist() for p in (*task.train, *task.test)]


def test_a_list_of_pairs_is_the_task_that_the_same_lines_are(tmp_path: Path) -> None:
    for n in range(6):
        pairs = [pair(10 * n + k) for k in range(4)]
        write(tmp_path / "lists" / f"t{n}.json", pairs)
        lines = "".join(json.dumps({"task_id": f"t{n}", **p}) + "\n" for p in pairs)
        write(tmp_path / "lines" / f"t{n}.jsonl", lines)
    lists, lines_read = json_splits(tmp_path / "lists"), json_splits(tmp_path / "lines")
    assert lists.fingerprint() == lines_read.fingerprint()
    assert all(len(t.train) == 4 and not t.test for t in every(lists).values())


@pytest.mark.parametrize(
    "content",
    [
        {f"t{n}": [pair(2 * n), pair(2 * n + 1)] for n in range(3)},
        [{"id": f"t{n}", "train": [pair(2 * n)], "test": [pair(2 * n + 1)]} for n in range(3)],
        [{"task_id": f"t{n // 2}", **pair(n)} for n in range(6)],
        [{"metadata": {"task_id": f"t{n // 2}"}, **pair(n)} for n in range(6)],
    ],
    ids=["lists by id", "list of tasks", "list of records", "records with metadata"],
)
def test_lists_and_mappings_of_pairs_are_tasks(content: Any, tmp_path: Path) -> None:
    tasks = {t.task_id: t for t in read_task_file(write(tmp_path / "all.json", content)).tasks}
    assert {name: outputs(task) for name, task in tasks.items()} == {
        f"t{n}": [pair(2 * n)["output"], pair(2 * n + 1)["output"]] for n in range(3)
    }


def test_a_list_of_tasks_without_ids_is_numbered(tmp_path: Path) -> None:
    tasks = [{"train": [pair(n)]} for n in range(2)]
    found = read_task_file(write(tmp_path / "mine.json", tasks)).tasks
    assert [t.task_id for t in found] == ["mine-0", "mine-1"]


def competition(folder: Path, parts: tuple[str, ...], prefix: str = "arc-agi_") -> Path:
    """Writes challenges with two test inputs a task, solutions, and a submission."""
    submission: dict[str, Any] = {}
    for s, part in enumerate(parts):
        names = [f"{part[:2]}{n}" for n in range(10)]
        at = {name: 200 * s + 8 * n for n, name in enumerate(names)}
        challenges = {
            name: {
                "train": [pair(at[name]), pair(at[name] + 1)],
                "test": [{"input": pair(at[name] + k)["input"]} for k in (2, 3)],
            }
            for name in names
        }
        solutions = {n: [pair(at[n] + k)["output"] for k in (2, 3)] for n in names}
        write(folder / f"{prefix}{part}_challenges.json", challenges)
        if part != "test":
            write(folder / f"{prefix}{part}_solutions.json", solutions)
        attempts = [{"attempt_1": [[0, 0]], "attempt_2": [[0, 0]]}] * 2
        submission |= dict.fromkeys(names, attempts)
    write(folder / "sample_submission.json", submission)
    return folder


def test_the_folder_of_a_competition_is_joined_and_divided_by_its_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = json_splits(competition(tmp_path, ("training", "evaluation", "test")))
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [8, 2, 10]
    assert {t.task_id for t in splits.test} == {f"ev{n}" for n in range(10)}
    assert outputs(every(splits)["tr3"]) == [pair(24 + k)["output"] for k in range(4)]
    said = capsys.readouterr().err
    assert "left out, answers and no tasks: sample_submission.json" in said
    assert "no test outputs are known: arc-agi_test_challenges.json" in said
    assert "without an output" not in said


def test_joined_challenges_are_the_same_tasks_as_whole_files(tmp_path: Path) -> None:
    joined = json_splits(competition(tmp_path / "a", ("training", "evaluation"), "2026_"))
    for task in every(joined).values():
        part = "training" if task.task_id.startswith("tr") else "evaluation"
        whole = {
            kind: [{"input": p.input.tolist(), "output": p.output.tolist()} for p in pairs]
            for kind, pairs in (("train", task.train), ("test", task.test))
        }
        write(tmp_path / "b" / part / f"{task.task_id}.json", whole)
    assert json_splits(tmp_path / "b").fingerprint() == joined.fingerprint()


def test_one_file_of_challenges_finds_the_solutions_beside_it(tmp_path: Path) -> None:
    folder = competition(tmp_path, ("training",))
    tasks = every(json_splits(folder / "arc-agi_training_challenges.json"))
    assert all(len(task.test) == 2 for task in tasks.values())


def test_challenges_without_solutions_keep_their_demonstrations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = every(json_splits(competition(tmp_path, ("test",))))
    assert all(len(task.train) == 2 and not task.test for task in tasks.values())
    assert "test pairs without an output left out in 10 tasks" in capsys.readouterr().err


def changed(part: str, change: Any) -> Any:
    def make(folder: Path) -> Path:
        path = folder / f"arc-agi_training_{part}.json"
        content = json.loads(path.read_text())
        change(content)
        write(path, content)
        return folder

    return make


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (changed("solutions", lambda s: s["tr1"].pop()), "task tr1: 2 test pairs, but 1 solutions"),
        (
            changed("challenges", lambda c: c["tr1"]["test"][0].update(output=[[5]])),
            "task tr1, test pair 0: the solution is another output",
        ),
        (changed("solutions", lambda s: s["tr1"].__setitem__(0, [[11]])), "colour 11"),
        (lambda folder: folder / "arc-agi_training_solutions.json", "solutions alone, without"),
        (lambda folder: folder / "sample_submission.json", "holds no task"),
    ],
)
def test_what_does_not_join_is_one_line(spoil: Any, message: str, tmp_path: Path) -> None:
    place = spoil(competition(tmp_path, ("training", "evaluation")))
    with pytest.raises(UserError, match=message) as error:
        json_splits(place)
    assert "\n" not in str(error.value)


def test_two_solutions_of_a_task_are_one_line(tmp_path: Path) -> None:
    folder = competition(tmp_path, ("training",))
    write(folder / "my_solutions.json", {"tr1": [[[1]], [[2]]]})
    with pytest.raises(UserError, match=r"my_solutions\.json has another solution of task tr1"):
        json_splits(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "unknown shape"),
        ([pair(1), {"output": [[1]]}], "unknown shape"),
        ([pair(1), {"input": [[1]]}], "a demonstration without an output"),
        ([pair(1), {**pair(1), "output": [[9]]}], "the same input has two different outputs"),
        ([{"id": "a", "train": [pair(1)]}, {"id": "a", "train": [pair(2)]}], "unknown shape"),
        ({"a": [pair(1)], "b": 3}, "'a' is not a task|'b' is not a task"),
        ([[[1]], [[2]]], "unknown shape"),
    ],
)
def test_other_lists_are_refused_in_one_line(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        read_task_file(write(tmp_path / "x.json", content))
    assert "\n" not in str(error.value)
