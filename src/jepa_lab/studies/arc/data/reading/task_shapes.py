"""The shapes in which public files hold tasks, brought to one: {id: {"train": ..., "test": ...}}.

Solutions stand in a file of their own where a competition publishes challenges without the outputs
of their test pairs. They are joined to the challenges by the id of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.json_records import has_own_id, is_record

Entries = dict[str, dict[str, Any]]
Solutions = Mapping[str, list[Any]]  # task id -> the output of every test pair, decoded


def entries_of(content: Any, stem: str) -> Entries | None:
    """Returns the tasks in a decoded file, with `stem` as the id of a task without one.

    These are one task, {id: task}, a list of tasks, a list of pairs (one task), and {id: list of
    pairs}. Returns None for any other shape. The pairs are not checked.
    """
    if is_task(content) or _is_pairs(content):
        return {stem: _entry(content)}
    if isinstance(content, dict) and content and all(map(_is_entry, content.values())):
        return {name: _entry(entry) for name, entry in content.items()}
    if isinstance(content, list) and content and all(map(is_task, content)):
        named = [(_name(entry, f"{stem}-{k}"), entry) for k, entry in enumerate(content)]
        return dict(named) if len(dict(named)) == len(named) else None
    return None


def is_task(content: Any) -> bool:
    """Returns whether a decoded value is one task."""
    return isinstance(content, dict) and isinstance(content.get("train", content.get("test")), list)


def is_record_list(content: Any) -> bool:
    """Returns whether a decoded value is a list of the records that JSON Lines has one a line."""
    return isinstance(content, list) and bool(content) and all(map(is_record, content))


def is_solutions(content: Any) -> bool:
    """Returns whether a decoded value is {task id: [output of every test pair]}."""
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(v, list) and v and all(map(_is_grid, v)) for v in content.values())
    )


def is_submission(content: Any) -> bool:
    """Returns whether a decoded value is {task id: [{"attempt_1": grid, ...}]}."""
    if not isinstance(content, dict) or not content:
        return False
    each = [v if isinstance(v, list) else [v] for v in content.values()]
    return all(
        attempts and all(isinstance(a, dict) and "attempt_1" in a for a in attempts)
        for attempts in each
    )


def with_solutions(entry: dict[str, Any], outputs: list[Any], where: str) -> dict[str, Any]:
    """Returns a task whose test pairs have their outputs. Raises UserError, which begins with
    `where`, if there are more or fewer, or if a pair has another output already."""
    tests = entry.get("test")
    if not isinstance(tests, list) or not all(isinstance(pair, dict) for pair in tests):
        return entry  # reported where the pairs are read
    if len(tests) != len(outputs):
        raise UserError(
            f"{where}: {len(tests)} test pairs, but {len(outputs)} solutions; one for each is"
            " needed"
        )
    joined = []
    for number, (pair, output) in enumerate(zip(tests, outputs, strict=True)):
        if pair.get("output") not in (None, output):
            raise UserError(f"{where}, test pair {number}: the solution is another output")
        joined.append({**pair, "output": output})
    return {**entry, "test": joined}


def _entry(content: Any) -> dict[str, Any]:
    return {"train": content} if isinstance(content, list) else content


def _is_entry(content: Any) -> bool:
    return is_task(content) or _is_pairs(content)


def _is_pairs(content: Any) -> bool:
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(pair, dict) and "input" in pair for pair in content)
        and not any(map(has_own_id, content))
    )


def _is_grid(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) for row in value)


def _name(entry: dict[str, Any], default: str) -> str:
    """Returns the id of a task in a list."""
    found = (entry.get(key) for key in ("task_id", "id", "name"))
    return next((str(value) for value in found if value is not None), default)
