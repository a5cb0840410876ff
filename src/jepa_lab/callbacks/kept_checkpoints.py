"""The checkpoints that a completed run keeps. They are not resumed, so weights are enough."""

from __future__ import annotations

from filecmp import cmp
from pathlib import Path
from typing import Any

from jepa_lab.callbacks.checkpoints import KEPT, read_checkpoint, write_checkpoint

# what only a resumed run reads
DROPPED = ("optimizer_states", "lr_schedulers", "loops")
SAVER = "Saver"  # the only callback whose state stays: run id, best step, rows of the ledger


def keep_checkpoints(folder: Path, keep: str) -> None:
    """Reduces the checkpoints of a completed run to what `keep` names.

    `all` changes nothing. `weights` leaves last.ckpt and best.ckpt with the weights alone. `best`
    leaves only best.ckpt, with the weights alone. A run without best.ckpt keeps last.ckpt. Every
    file is replaced completely or not at all. Raises OSError if a file cannot be written.
    """
    if keep == "all":
        return
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    names = [best] if keep == "best" and best.is_file() else [best, last]
    found = [path for path in names if path.is_file()]
    # equal where the last validation was the best one
    if len(found) == 2 and cmp(found[0], found[1], shallow=False):
        content = reduced(read_checkpoint(last), keep)
        for path in found:
            write_checkpoint(path, content)
    else:
        for path in found:
            write_checkpoint(path, reduced(read_checkpoint(path), keep))
    for path in {folder / "previous.ckpt", last} - set(names):
        path.unlink(missing_ok=True)


def reduced(content: dict[str, Any], keep: str) -> dict[str, Any]:
    """Returns a checkpoint without the states of optimiser, loops, probes and random streams."""
    callbacks = {name: state for name, state in content["callbacks"].items() if name == SAVER}
    rest = {key: value for key, value in content.items() if key not in DROPPED}
    return {**rest, "callbacks": callbacks, KEPT: keep}
