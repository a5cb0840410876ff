"""The file names of the ARC Prize competitions: challenges, and beside them their solutions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

CHALLENGES, SOLUTIONS = "challenges", "solutions"
PARTS = ("training", "evaluation", "test")


def solutions_of(path: Path) -> Path | None:
    """Returns the file of solutions beside a file of challenges, None if there is none."""
    if CHALLENGES not in path.name:
        return None
    twin = path.with_name(path.name.replace(CHALLENGES, SOLUTIONS))
    return twin if twin.is_file() else None


def competition_parts(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Returns the files of challenges by their part: training, evaluation and test. All other
    files but those of solutions count as training. Test challenges with solutions beside them count
    as evaluation. Returns {} unless there are training and evaluation challenges."""
    parts: dict[str, list[Path]] = {name: [] for name in PARTS}
    named = set()
    for path in files:
        name = path.name.lower()
        part = next((part for part in PARTS if part in name), "")
        if CHALLENGES in name and part:
            solved = part == "test" and solutions_of(path) is not None
            parts["evaluation" if solved else part].append(path)
            named.add(part)
    if not named >= {"training", "evaluation"}:
        return {}
    parts["training"] += [
        path
        for path in files
        if CHALLENGES not in path.name.lower() and SOLUTIONS not in path.name.lower()
    ]
    return parts
