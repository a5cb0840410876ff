"""Records of the published manifests, joined into tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.reading import read_grid, require_one_rule, require_text
from jepa_lab.studies.arc.data.task import ArcTask, Grid, Pair

SHAPES = "context and target, input and output, or frames"


def is_record(content: Any) -> bool:
    """Returns whether a decoded value has one of the three record shapes."""
    return isinstance(content, dict) and (
        "frames" in content
        or {"context", "target"} <= content.keys()
        or {"input", "output"} <= content.keys()
    )


def has_own_id(record: dict[str, Any]) -> bool:
    """Returns whether a record names its task or itself."""
    metadata = record.get("metadata")
    in_metadata = isinstance(metadata, dict) and metadata.get("task_id") is not None
    return in_metadata or any(record.get(key) is not None for key in ("task_id", "id"))


@dataclass
class _Part:
    pairs: list[Pair] = field(default_factory=list)
    frames: list[tuple[Grid, ...]] = field(default_factory=list)


class Records:
    """Joins records of the same task.

    The task of a record is metadata.task_id, else its own task_id or id, else its line. The shapes
    are tested in the published order: context (one or several grids) and target (one grid, or
    several, of which the first is used), input and output, frames. Pairs become demonstrations, and
    sequences of three or more grids become frames. A context of one grid and its target is a pair.
    Identical repeated records count once.
    """

    def __init__(self, stem: str) -> None:
        self._stem = stem
        self._parts: dict[str, _Part] = {}
        self._ids: dict[str, tuple[str, Any]] = {}

    def add(self, record: Any, line: int, where: str) -> None:
        """Adds one record. Raises UserError, which begins with `where`, for an invalid record."""
        if not is_record(record):
            keys = (
                f" (it has {', '.join(map(str, record)) or 'nothing'})"
                if isinstance(record, dict)
                else ""
            )
            raise UserError(f"{where}: a record of unknown shape{keys}; it should have {SHAPES}")
        task_id = self._task_id(record, line, where)
        require_text(task_id, where)
        if self._is_repeated(record, where):
            return
        part = self._parts.setdefault(task_id, _Part())
        sequence = _sequence(record, f"{where}, task {task_id}")
        if len(sequence) == 2:
            part.pairs.append(Pair(*sequence))
        else:
            part.frames.append(sequence)
        require_one_rule(part.pairs, f"{where}, task {task_id}")

    def tasks(self) -> list[ArcTask]:
        """Returns all tasks, in the order of their first record."""
        return [
            ArcTask(name, tuple(p.pairs), (), tuple(p.frames)) for name, p in self._parts.items()
        ]

    def _is_repeated(self, record: dict[str, Any], where: str) -> bool:
        name = record.get("id")
        if name is None or name == (record.get("metadata") or {}).get("task_id"):
            return False  # such an id names the task, and all records of the task may have it
        content = {
            key: record.get(key) for key in ("context", "target", "input", "output", "frames")
        }
        first, known = self._ids.setdefault(str(name), (where, content))
        if known is not content and known != content:
            raise UserError(
                f"{where}: id {name} has other grids than in {first}; rename or remove one"
            )
        return known is not content

    def _task_id(self, record: dict[str, Any], line: int, where: str) -> str:
        metadata = record.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise UserError(
                f'{where}: metadata is not a mapping; {{"task_id": "..."}} or nothing is needed'
            )
        for name in (metadata.get("task_id"), record.get("task_id"), record.get("id")):
            if name is not None:
                return str(name)
        return f"{self._stem}-{line}"


def _sequence(record: dict[str, Any], where: str) -> tuple[Grid, ...]:
    if "context" in record and "target" in record:
        target = record["target"]
        target = target[0] if _is_list_of_grids(target) else target
        return (
            *_grids(record["context"], f"{where} context"),
            read_grid(target, f"{where} target"),
        )
    if "input" in record and "output" in record:
        return read_grid(record["input"], f"{where} input"), read_grid(
            record["output"], f"{where} output"
        )
    frames = _grids(record["frames"], f"{where} frames")
    if len(frames) < 2:
        raise UserError(
            f"{where} frames: {len(frames)} grid; at least 2 are needed to predict one from another"
        )
    return frames


def _grids(value: Any, where: str) -> tuple[Grid, ...]:
    if _is_list_of_grids(value):
        return tuple(read_grid(grid, f"{where} grid {number}") for number, grid in enumerate(value))
    return (read_grid(value, where),)


def _is_list_of_grids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and isinstance(value[0], list)
        and bool(value[0])
        and isinstance(value[0][0], list)
    )
