"""Compares a branch with its parent: equal to the bit for a control, else by their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jepa_lab.callbacks.checkpoints import read_checkpoint
from jepa_lab.ledger.finished_run import verdict_text
from jepa_lab.ledger.parquet import read_metrics
from jepa_lab.ledger.read import read_json

CLOCK = "monitor/"  # metrics of the monitor's own seconds, which no two runs share

Row = tuple[int, int, str, str]


@dataclass(frozen=True)
class Control:
    """How far a control branch agrees with its parent: the numbers of equal rows and tensors, and
    the first difference, "" if there is none."""

    rows: int
    tensors: int
    difference: str

    def line(self) -> str:
        """Returns the result in one line."""
        if self.difference:
            return f"control: differs from its parent: {self.difference}"
        tensors = f" and {self.tensors} tensors" if self.tensors else ""
        return f"control: {self.rows:,} rows{tensors} equal those of the parent to the bit"


def compare_control(parent: Path, branch: Path) -> Control:
    """Compares all rows of metrics that both runs have, and the last weights if both are at the
    same step."""
    one, other = _rows(parent), _rows(branch)
    n = min(len(one), len(other))
    for a, b in zip(one, other, strict=False):
        if a != b:
            what = f"{a[2]} at step {a[0]}: {a[3]}, in the branch {b[2]} at step {b[0]}: {b[3]}"
            return Control(n, 0, what)
    files = [path / "checkpoints" / "last.ckpt" for path in (parent, branch)]
    if not all(path.is_file() for path in files):
        return Control(n, 0, "")
    first, second = map(read_checkpoint, files)
    if first["global_step"] != second["global_step"]:
        return Control(n, 0, "")
    for name, value in first["state_dict"].items():
        if not _equal(value, second["state_dict"].get(name)):
            return Control(n, 0, f"the weights {name}")
    return Control(n, len(first["state_dict"]), "")


def _equal(one: Any, other: Any) -> bool:
    """Returns whether two parts of a state are equal to the bit: tensors, or plain data of them."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        same_keys = isinstance(other, dict) and one.keys() == other.keys()
        return same_keys and all(_equal(value, other[key]) for key, value in one.items())
    return bool(one == other)


def verdict_of(run: Path) -> str:
    """Returns the verdict in a run's summary, or a word for a run without one."""
    return verdict_text(read_json(run / "summary.json")) or "no verdict yet"


def _rows(run: Path) -> list[Row]:
    table = read_metrics(run / "metrics.parquet").to_pydict()
    rows = zip(table["step"], table["epoch"], table["key"], table["value"], strict=True)
    return [(s, e, k, repr(v)) for s, e, k, v in rows if not str(k).startswith(CLOCK)]
