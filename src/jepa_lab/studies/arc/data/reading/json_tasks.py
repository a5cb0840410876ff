"""User-defined tasks: a folder of ARC JSON files, the folder of a competition, one file of many
tasks, or a JSON Lines manifest, each plain or gzipped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.competition import SOLUTIONS, competition_parts, solutions_of
from jepa_lab.studies.arc.data.reading.json_files import TaskFile, read_solutions, read_task_file
from jepa_lab.studies.arc.data.task import ArcTask, TaskSplits
from jepa_lab.studies.arc.data.task_splits import contents, hold_out_tasks, split_tasks

ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


def json_splits(
    path: str | Path | None,
    val_share: float = 0.2,
    split_seed: int = 0,
    train_tasks: int | None = None,
    val_tasks: int | None = None,
    test_tasks: int | None = None,
) -> TaskSplits:
    """Returns the tasks of a file or folder by split, each sorted by id.

    If the folder has a subfolder evaluation/, its tasks are test, and those of training/ (or of the
    folder itself) are divided into train and val. The same holds for the files of a competition,
    evaluation_challenges and training_challenges, whose solutions are joined to them. Otherwise all
    tasks are divided: val_share to test, val_share to val. The limits apply after the division.
    Omitted data (test pairs without an output, answers to a competition, tasks that share a pair
    with another split) are reported on stderr, one line per reason. Raises UserError, which names
    the file and the line or task, for every mistake in the files.
    """
    origin = f"dataset.path={path}"
    top = Path(path or "")
    if not path or not top.exists():
        raise UserError(
            f"{origin}: no such file or folder; give a folder of ARC JSON files, a JSON file or a"
            " manifest"
        )
    if top.is_dir() and (top / "evaluation").is_dir():
        training = top / "training" if (top / "training").is_dir() else top
        pool, test = _read([training], origin), _read([top / "evaluation"], origin)
        _require_distinct(pool, test, origin)
    elif parts := competition_parts(_files(top, origin)):
        pool, test = (_read(parts[name], origin) for name in ("training", "evaluation"))
        _require_distinct(pool, test, origin)
        if parts["test"]:
            names = ", ".join(path.name for path in parts["test"])
            print(f"{origin}: left out, no test outputs are known: {names}", file=sys.stderr)
    else:
        nested = top.is_dir() and (top / "training").is_dir()
        pool, test = _read([top / "training"] if nested else [top], origin), []
    if not test:
        _require_at_least(3, pool, origin)
        pool, test = hold_out_tasks(pool, val_share, split_seed)
        # val_share of all the tasks, not of the rest
        val_share = min(1.0, val_share / (1 - val_share)) if val_share < 1 else 1.0
    train, val = hold_out_tasks(pool, val_share, split_seed + 1)
    splits, dropped = split_tasks(
        train, val, test, train_tasks=train_tasks, val_tasks=val_tasks, test_tasks=test_tasks
    )
    if dropped:
        print(
            f"{origin}: {len(dropped)} tasks left out of train or val, they share a pair with"
            f" another split: {_some(dropped)}",
            file=sys.stderr,
        )
    return splits


def _read(places: list[Path], origin: str) -> list[ArcTask]:
    """Returns the tasks of the files at these places, sorted by id, without duplicates."""
    tasks: dict[str, ArcTask] = {}
    origins: dict[str, str] = {}
    without: list[str] = []
    answers: list[str] = []
    files = [file for place in places for file in _files(place, origin)]
    solutions, files = _with_solutions(files, origin)
    for path in files:
        content: TaskFile = read_task_file(path, solutions)
        answers += [path.name] * content.is_submission
        without += [f"{path.name} task {task_id}" for task_id in content.without_output]
        for task in content.tasks:
            first = tasks.setdefault(task.task_id, task)
            name = origins.setdefault(task.task_id, path.name)
            if first is not task and contents(first) != contents(task):
                raise UserError(
                    f"{origin}: task {task.task_id} is in {name} and in {path.name} with different"
                    " grids; rename or remove one"
                )
    if answers:
        print(f"{origin}: left out, answers and no tasks: {_some(answers)}", file=sys.stderr)
    if not tasks:
        raise UserError(f"{origin}: {_some([file.name for file in files])} holds no task")
    if without:
        print(
            f"{origin}: test pairs without an output left out in {len(without)} tasks:"
            f" {_some(without)}",
            file=sys.stderr,
        )
    return [tasks[name] for name in sorted(tasks)]


def _with_solutions(files: list[Path], origin: str) -> tuple[dict[str, list[Any]], list[Path]]:
    """Returns the solutions among and beside the files, by the id of the task, and the other
    files. Raises UserError for two different solutions of a task."""
    beside = {twin for file in files if (twin := solutions_of(file)) is not None}
    every = sorted(beside | {file for file in files if SOLUTIONS in file.name.lower()})
    found: dict[str, list[Any]] = {}
    read = set()
    for path in every:
        solutions = read_solutions(path)
        read |= {path} if solutions else set()
        for task_id, outputs in solutions.items():
            if found.setdefault(task_id, outputs) != outputs:
                raise UserError(f"{origin}: {path.name} has another solution of task {task_id}")
    others = [file for file in files if file not in read]
    return found, others or files


def _files(place: Path, origin: str) -> list[Path]:
    if place.is_file():
        return [place]
    named = sorted(
        p for p in place.iterdir() if p.name.lower().endswith(ENDINGS) and not p.is_dir()
    )
    files = [path for path in named if path.is_file()]
    if len(files) < len(named):
        strange = next(path for path in named if path not in files)
        raise UserError(f"{strange}: a pipe, a device or a link to nothing; fix or remove the file")
    if not files:
        raise UserError(
            f"{origin}: no task in {place}; files that end in {', '.join(ENDINGS)} are needed there"
        )
    return files


def _require_distinct(pool: list[ArcTask], test: list[ArcTask], origin: str) -> None:
    """Raises UserError if training and evaluation have different tasks of the same name. Identical
    tasks are dropped from training later."""
    evaluation = {task.task_id: contents(task) for task in test}
    for task in pool:
        if task.task_id in evaluation and evaluation[task.task_id] != contents(task):
            raise UserError(
                f"{origin}: task {task.task_id} is in training and in evaluation with different"
                " grids; rename one"
            )


def _require_at_least(n: int, tasks: list[ArcTask], origin: str) -> None:
    if len(tasks) < n:
        raise UserError(
            f"{origin}: {len(tasks)} tasks; at least {n} are needed for train, val and test"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
