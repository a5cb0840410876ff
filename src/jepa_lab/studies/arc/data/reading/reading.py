"""Reads and checks grids and tasks in decoded JSON. Every error is one line with the place and the
expected content."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.task import COLORS, LARGEST, ArcTask, Grid, Pair


def read_grid(value: Any, where: str) -> Grid:
    """Converts a list of rows of colours to an (H, W) uint8 array. Raises UserError, which begins
    with `where`, for anything else."""
    if not isinstance(value, list | tuple) or not all(
        isinstance(row, list | tuple) for row in value
    ):
        raise UserError(
            f"{where}: {_short(value)} is not a grid; rows of whole numbers are needed, such as"
            " [[0, 1], [2, 0]]"
        )
    widths = {len(row) for row in value}
    if not value or widths == {0}:
        raise UserError(f"{where}: the grid is empty; 1x1 to {LARGEST}x{LARGEST} cells are needed")
    if len(widths) > 1:
        raise UserError(
            f"{where}: the grid is ragged, rows of {min(widths)} to {max(widths)} cells; make them"
            " equal"
        )
    height, width = len(value), widths.pop()
    if max(height, width) > LARGEST:
        raise UserError(
            f"{where}: the grid has {height}x{width} cells; at most {LARGEST}x{LARGEST} are"
            " possible"
        )
    cells = list(chain.from_iterable(value))
    if set(map(type, cells)) != {int}:  # neither bool nor 1.0 is a colour
        wrong = next(cell for cell in cells if type(cell) is not int)
        raise UserError(
            f"{where}: the grid holds {_short(wrong)}; whole numbers from 0 to {COLORS - 1} are"
            " needed"
        )
    if min(cells) < 0 or max(cells) >= COLORS:
        wrong = next(cell for cell in cells if not 0 <= cell < COLORS)
        raise UserError(
            f"{where}: the grid holds the colour {_short(wrong)}; colours go from 0 to {COLORS - 1}"
        )
    return np.array(cells, dtype=np.uint8).reshape(height, width)


def read_task(content: Any, task_id: str, where: str) -> tuple[ArcTask, int]:
    """Reads a task {"train": [{"input", "output"}, ...], "test": [...]}. Returns it and the number
    of test pairs without an output.

    Such pairs are omitted. Raises UserError, which begins with `where`, for a demonstration without
    an output, for a task without a usable pair, and for every mistake in a grid.
    """
    train, _ = _read_pairs(content.get("train", []), f"{where}, train", needs_output=True)
    test, missing = _read_pairs(content.get("test", []), f"{where}, test", needs_output=False)
    if not train and not test:
        reason = f"{missing} test pairs without an output" if missing else "no pairs"
        raise UserError(
            f"{where}: no usable pair ({reason}); give it one pair with an input and an output"
        )
    require_one_rule([*train, *test], where)
    return ArcTask(task_id, tuple(train), tuple(test)), missing


def require_text(task_id: str, where: str) -> None:
    """Raises UserError for an id that is no text: half of a pair of surrogates has no encoding."""
    try:
        task_id.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{where}: the task id {task_id!a} holds a lone surrogate, which is no character;"
            " rename the task"
        ) from None


def require_one_rule(pairs: list[Pair], where: str) -> None:
    """Raises UserError if an input has two different outputs, since no rule produces both."""
    outputs: dict[tuple[tuple[int, ...], bytes], Grid] = {}
    for pair in pairs:
        first = outputs.setdefault((pair.input.shape, pair.input.tobytes()), pair.output)
        if not np.array_equal(first, pair.output):
            raise UserError(
                f"{where}: the same input has two different outputs; remove one of them"
            )


def _read_pairs(content: Any, where: str, needs_output: bool) -> tuple[list[Pair], int]:
    if not isinstance(content, list):
        raise UserError(
            f'{where}: a list of pairs {{"input": ..., "output": ...}} is needed, not'
            f" {_short(content)}"
        )
    pairs, missing = [], 0
    for number, entry in enumerate(content):
        place = f"{where} pair {number}"
        if not isinstance(entry, dict) or "input" not in entry:
            raise UserError(
                f'{place}: {_short(entry)} has no input; {{"input": ..., "output": ...}} is needed'
            )
        source = read_grid(entry["input"], f"{place} input")
        if entry.get("output") is not None:
            pairs.append(Pair(source, read_grid(entry["output"], f"{place} output")))
        elif needs_output:
            raise UserError(
                f"{place}: a demonstration without an output; add it, or move the pair to test"
            )
        else:
            missing += 1
    return pairs, missing


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print numbers with very many digits
        text = "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:37]}..."
