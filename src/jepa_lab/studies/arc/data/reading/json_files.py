"""Reads a file of tasks, plain or gzipped: one task, many tasks, a list of pairs, or a JSON Lines
manifest in the published record shapes."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.text import GZIP, parse_json, read_bytes, unpack_gzip
from jepa_lab.studies.arc.data.reading.json_records import Records, is_record
from jepa_lab.studies.arc.data.reading.reading import read_task, require_text
from jepa_lab.studies.arc.data.reading.task_shapes import (
    Solutions,
    entries_of,
    is_record_list,
    is_solutions,
    is_submission,
    is_task,
    with_solutions,
)
from jepa_lab.studies.arc.data.task import ArcTask

SHAPES = (
    '{"train": [...], "test": [...]} (one task), {"task id": {"train": ..., "test": ...}} (many),'
    ' [{"input": ..., "output": ...}, ...] (the pairs of one task), or JSON Lines records with'
    " context and target, input and output, or frames"
)


@dataclass(frozen=True)
class TaskFile:
    """The tasks of a file, and the ids of tasks with omitted test pairs, which lack an output. A
    file of answers to a competition has no tasks, and `is_submission`."""

    tasks: list[ArcTask]
    without_output: list[str]
    is_submission: bool = False


def read_solutions(path: Path) -> dict[str, list[Any]]:
    """Returns the outputs of the test pairs of every task, decoded, or {} for a file of another
    shape. Raises UserError for a file that is not JSON."""
    try:
        content = _decode(_text(path), str(path))
    except json.JSONDecodeError:
        return {}  # JSON Lines, or reported where tasks are read
    except OverLimit as error:
        raise UserError(f"{path}: {_too_much(error, 'a solution')}") from error
    return dict(content) if is_solutions(content) else {}


def read_task_file(path: Path, solutions: Solutions | None = None) -> TaskFile:
    """Returns every task of a file, with `solutions` as the outputs of test pairs. Raises
    UserError, which names the file and the line or task, for anything that is not a task."""
    text = _text(path)
    if not text.strip():
        raise UserError(f"{path}: the file is empty; it should hold {SHAPES}")
    try:
        content = _decode(text, str(path))
    except json.JSONDecodeError as error:
        if not _is_json_lines(text, error):
            raise UserError(
                f"{path}: not valid JSON ({error.msg} in line {error.lineno}, column"
                f" {error.colno}); fix or remove the file"
            ) from error
        return _read_manifest(_lines(text), path)
    except OverLimit as error:
        raise UserError(f"{path}: {_too_much(error, 'a task')}; it should hold {SHAPES}") from error
    if is_record(content):
        return _read_manifest([(1, text)], path)
    return _read_tasks(content, path, solutions or {})


def _read_tasks(content: Any, path: Path, solutions: Solutions) -> TaskFile:
    if is_submission(content):
        return TaskFile([], [], is_submission=True)
    entries = entries_of(content, _stem(path))
    if entries is None and is_record_list(content):
        return _read_records(enumerate(content, start=1), path, "record")
    if entries is None:
        raise UserError(f"{path}: {_strange(content)}; it should hold {SHAPES}")
    tasks, without_output = [], []
    for task_id, entry in entries.items():
        require_text(task_id, str(path))
        where = f"{path}: task {task_id}"
        if task_id in solutions:
            entry = with_solutions(entry, solutions[task_id], where)
        task, missing = read_task(entry, task_id, where)
        tasks.append(task)
        without_output += [task_id] * (missing > 0)
    return TaskFile(tasks, without_output)


def _strange(content: Any) -> str:
    """Returns what is wrong with a decoded file that holds no tasks."""
    if is_solutions(content):
        return "solutions alone, without the challenges that they belong to"
    if isinstance(content, dict):
        for name, entry in content.items():
            if not is_task(entry):
                return f"{name!r} is not a task"
    return "unknown shape"


def _read_manifest(lines: list[tuple[int, str]], path: Path) -> TaskFile:
    """Reads one record from each of the numbered lines."""
    return _read_records(_decoded(lines, path), path, "line")


def _decoded(lines: list[tuple[int, str]], path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in lines:
        where = f"{path} line {number}"
        try:
            yield number, _decode(line, where)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not valid JSON ({error.msg}, column {error.colno}); one record per line"
                " is needed"
            ) from error
        except OverLimit as error:
            raise UserError(f"{where}: {_too_much(error, 'a record')}") from error


def _read_records(numbered: Iterable[tuple[int, Any]], path: Path, unit: str) -> TaskFile:
    """Joins numbered records to tasks. `unit` is what the numbers count, in messages."""
    records = Records(_stem(path))
    for number, record in numbered:
        records.add(record, number, f"{path} {unit} {number}")
    return TaskFile(records.tasks(), [])


def _too_much(error: OverLimit, kind: str) -> str:
    return f"brackets nested far too deep for {kind}" if "nested" in str(error) else str(error)


def _lines(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _parses(text: str) -> bool:
    try:
        parse_json(text)
    except (json.JSONDecodeError, OverLimit):
        return False
    return True


def _is_json_lines(text: str, error: json.JSONDecodeError) -> bool:
    """Returns whether the text has one JSON value per line, which is assumed if its first value
    ends with its first line."""
    number, first = _lines(text)[0]
    return error.msg == "Extra data" and error.lineno > number and _parses(first)


def _decode(text: str, where: str) -> Any:
    """Parses JSON like json.loads, but raises UserError for a name that occurs twice in an object
    with different values."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for name, value in pairs:
            if content.setdefault(name, value) != value:
                raise UserError(
                    f"{where}: {name!r} occurs twice with different content; rename or remove one"
                )
        return content

    return parse_json(text, object_pairs_hook=unique)


def _text(path: Path) -> str:
    """Returns the text of a file. Gzip is detected by the first two bytes, not by the name."""
    try:
        data = read_bytes(path, limits.TASK_BYTES)
        if data[:2] == GZIP:
            data = unpack_gzip(data, limits.TASK_BYTES)
        return data.decode("utf-8-sig")
    except OverLimit as error:
        raise UserError(f"{path}: {error}; divide it into several files") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: a broken gzip file ({error}); pack it again") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}); JSON or gzipped JSON is needed"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _stem(path: Path) -> str:
    return path.name.split(".json")[0]
