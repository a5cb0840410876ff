"""Assigns tasks to splits by a hash of their ids; no pair is in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.task import ArcTask, TaskSplits


def hold_out_tasks(
    tasks: Iterable[ArcTask], share: float, seed: int
) -> tuple[list[ArcTask], list[ArcTask]]:
    """Holds out round(share * n) tasks: those with the lowest hash of (seed, id).

    Returns (remaining tasks, held-out tasks), both sorted by id. The choice does not depend on the
    order of files. If share is strictly between 0 and 1 and there are at least two tasks, neither
    list is empty. Raises UserError unless 0 <= share <= 1.
    """
    if not 0 <= share <= 1:
        raise UserError(
            f"dataset.val_share={share}: the share of the tasks that is held out, from 0 to 1"
        )
    by_id = sorted(tasks, key=lambda task: task.task_id)
    ranked = sorted(
        by_id,
        key=lambda task: hashlib.blake2b(f"{seed}/{task.task_id}".encode(), digest_size=8).digest(),
    )
    size = round(share * len(by_id))
    if 0 < share < 1 and len(by_id) > 1:
        size = min(max(size, 1), len(by_id) - 1)
    held = {task.task_id for task in ranked[:size]}
    return [t for t in by_id if t.task_id not in held], [t for t in by_id if t.task_id in held]


def split_tasks(
    train: Iterable[ArcTask],
    val: Iterable[ArcTask],
    test: Iterable[ArcTask],
    *,
    train_tasks: int | None = None,
    val_tasks: int | None = None,
    test_tasks: int | None = None,
) -> tuple[TaskSplits, list[str]]:
    """Returns the splits without overlaps, and the ids of the tasks dropped for an overlap.

    A task that shares a pair or a sequence with a test task is dropped from train and val; a task
    that shares one with a val task is dropped from train. The limits then keep the first tasks of a
    split. Raises UserError for a limit below 1.
    """
    for name, limit in (
        ("train_tasks", train_tasks),
        ("val_tasks", val_tasks),
        ("test_tasks", test_tasks),
    ):
        if limit is not None and limit < 1:
            raise UserError(f"dataset.{name}={limit}: at least 1, or null for all")
    kept_test = list(test)
    seen = _contents(kept_test)
    kept_val, dropped = _unseen(val, seen)
    seen |= _contents(kept_val)
    kept_train, more = _unseen(train, seen)
    splits = TaskSplits(
        tuple(kept_train[:train_tasks]), tuple(kept_val[:val_tasks]), tuple(kept_test[:test_tasks])
    )
    return splits, dropped + more


def contents(task: ArcTask) -> list[bytes]:
    """Returns one key for each pair and each sequence. Pairs or sequences with equal cells have
    equal keys.

    No key may occur in two splits.
    """
    pairs = [(pair.input, pair.output) for pair in (*task.train, *task.test)]
    return [
        b"".join(bytes(g.shape) + g.tobytes() for g in grids) for grids in (*pairs, *task.frames)
    ]


def _contents(tasks: Iterable[ArcTask]) -> set[bytes]:
    return {key for task in tasks for key in contents(task)}


def _unseen(tasks: Iterable[ArcTask], seen: set[bytes]) -> tuple[list[ArcTask], list[str]]:
    kept, dropped = [], []
    for task in tasks:
        if seen.isdisjoint(contents(task)):
            kept.append(task)
        else:
            dropped.append(task.task_id)
    return kept, dropped
