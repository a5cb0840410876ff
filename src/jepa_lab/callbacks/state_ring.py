"""StateRing: earlier states of a run, from which a branch can start."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from math import log
from pathlib import Path
from typing import NamedTuple

from jepa_lab.ledger.atomic import temporary_beside

RING = "ring"  # the folder beside last.ckpt
PINNED = "-pinned"
MEGABYTE = 10**6


class State(NamedTuple):
    """A state in the ring: its optimiser step, its file, and whether it is pinned."""

    step: int
    path: Path
    pinned: bool


class StateRing:
    """Keeps at most `most` checkpoints of earlier steps, and at most `megabytes` of them.

    Their distances grow geometrically behind the newest, so that recent steps are dense and the
    early ones are not forgotten. Pinned states count, and are dropped last. A state is a hard link
    to a file that is never changed, so that adding one costs no time and no space until the
    original is replaced.
    """

    def __init__(self, folder: Path, most: int, megabytes: float) -> None:
        self.folder = folder
        self.most = most
        self.bytes = megabytes * MEGABYTE

    def add(self, step: int, checkpoint: Path) -> None:
        """Keeps a checkpoint as the state of a step, and drops what is too much. Raises OSError if
        the folder cannot be written."""
        if self.most < 1 or checkpoint.stat().st_size > self.bytes:
            return
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{step:08d}.ckpt"
        link = temporary_beside(path)
        try:
            os.link(checkpoint, link)
        except OSError:  # a file system without hard links
            shutil.copyfile(checkpoint, link)
        os.replace(link, path)
        self._drop()

    def pin(self, newest: int = 3) -> None:
        """Pins the newest states, unless some are pinned already."""
        states = self.states()
        if not any(state.pinned for state in states):
            for step, path, _ in states[-newest:]:
                os.replace(path, self.folder / f"{step:08d}{PINNED}.ckpt")

    def states(self) -> list[State]:
        """Returns the states, the oldest first."""
        return states_in(self.folder)

    def _drop(self) -> None:
        states = self.states()
        while len(states) > 1 and (
            len(states) > self.most or sum(s.path.stat().st_size for s in states) > self.bytes
        ):
            weakest = least_missed(states)
            weakest.path.unlink(missing_ok=True)
            states.remove(weakest)


def states_in(folder: Path) -> list[State]:
    """Returns the states in the folder of a ring, the oldest first. Other files are ignored."""
    found = []
    for path in folder.glob("*.ckpt"):
        number = path.stem.removesuffix(PINNED)
        if number.isdecimal():
            found.append(State(int(number), path, path.stem.endswith(PINNED)))
    return sorted(found)


def least_missed(states: list[State]) -> State:
    """Returns the state whose loss leaves the smallest gap, measured by the ratio of the ages of
    its neighbours. It is never the newest, and a pinned one only if all others are pinned."""
    newest = states[-1].step
    spacing = max(newest - states[-2].step, 1)
    ages = [(newest - state.step) / spacing + 1 for state in states]
    older = [2 * ages[0], *ages[:-1]]
    gaps = [
        (state.pinned, log(before / after), state)
        for state, before, after in zip(states[:-1], older, ages[1:], strict=False)
    ]
    return min(gaps, key=lambda gap: gap[:2])[2]


def remove_ring(folder: Path) -> None:
    """Removes the states of a ring, and its folder unless other files are in it."""
    for state in states_in(folder):
        state.path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
