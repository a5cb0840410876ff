"""Random transforms of ARC tasks: one per task and epoch, the same for all grids of the task.

The draws depend on the seed, the split, the epoch and the task alone, not on the order of calls.
"""

from __future__ import annotations

import numpy as np
import torch

from jepa_lab.data.draws import uniform
from jepa_lab.studies.arc.data.task import COLORS
from jepa_lab.studies.arc.data.transform import SYMMETRIES, Transforms, turn_room

FAMILIES = ("color", "translation", "symmetry")
RADIUS = 3  # largest random shift, in cells


def draw_transforms(
    tasks: np.ndarray,
    room: np.ndarray,
    *,
    seed: int,
    split: str,
    epoch: int,
    palette: bool = True,
    symmetry: bool = True,
    translation: bool = True,
    palette_background: bool = False,
    radius: int = RADIUS,
) -> Transforms:
    """Draws one transform for each task number in `tasks` (B,) int64.

    `room` (B, 4) int64 is the `free_room` of all grids of each task. It bounds the shift, so a task
    without room is not shifted.

    palette: a uniform permutation of the colours 1 to 9, or of all ten with `palette_background`.
    symmetry: one of the 8 symmetries of the square. translation: uniform among the shifts of at
    most `radius` cells per direction that push no cell out of a grid. Each family has its own
    random stream, so disabling one family does not change the others.
    """
    n = len(tasks)
    result = _identities(np.zeros(n, dtype=np.int64))
    draw = _Draws(tasks, seed, split, epoch, "arc_augment")
    if palette:
        first = 0 if palette_background else 1
        order = np.argsort(draw("color", COLORS)[:, first:], axis=1, kind="stable")
        result.palettes[:, first:] = order + first
    if symmetry:
        result.symmetries[:] = draw("symmetry", 1)[:, 0] * SYMMETRIES
    if translation:
        low, high = _bounds(turn_room(_checked(room, n), result.symmetries), radius)
        result.shifts[:] = low + (draw("translation", 2) * (high - low + 1)).astype(np.int64)
    return result


def family_transform(
    family: str,
    tasks: np.ndarray,
    room: np.ndarray,
    *,
    seed: int,
    split: str,
    epoch: int,
    backgrounds: np.ndarray | None = None,
    radius: int = RADIUS,
) -> Transforms:
    """Draws a second transform of one family, for losses that compare a grid with its transform.

    The transform is the identity only if the family allows no other, e.g. a shift without room.

    color: all colours except the background are permuted in one cycle of nine. symmetry: one of the
    7 symmetries other than the identity. translation: a non-zero shift within `room` (B, 4) and
    `radius`; a task without room is not shifted. If the grids already went through a first
    transform, `room` and `backgrounds` (B,) (default 0) are its `Transforms.room_after` and
    `new_backgrounds`. The random stream differs from that of `draw_transforms`. Raises ValueError
    for an unknown family.
    """
    n = len(tasks)
    result = _identities(
        np.zeros(n, dtype=np.int64) if backgrounds is None else np.asarray(backgrounds, np.int64)
    )
    draw = _Draws(tasks, seed, split, epoch, "arc_family")
    if family == "color":
        result.palettes[:] = _cycles(draw("color", COLORS - 1), result.backgrounds)
    elif family == "symmetry":
        result.symmetries[:] = 1 + draw("symmetry", 1)[:, 0] * (SYMMETRIES - 1)
    elif family == "translation":
        low, high = _bounds(_checked(room, n), radius)
        width = high[:, 1] - low[:, 1] + 1
        total = (high[:, 0] - low[:, 0] + 1) * width
        # the index of the shift (0, 0) among the allowed shifts, counted row by row
        none = -low[:, 0] * width - low[:, 1]
        number = (draw("translation", 1)[:, 0] * (total - 1)).astype(np.int64)
        number = np.where(total > 1, number + (number >= none), none)
        result.shifts[:] = low + np.stack([number // width, number % width], axis=1)
    else:
        raise ValueError(f"no family {family!r} of transforms; there are {', '.join(FAMILIES)}")
    return result


class _Draws:
    def __init__(self, tasks: np.ndarray, seed: int, split: str, epoch: int, stream: str) -> None:
        self._index = torch.as_tensor(np.asarray(tasks, dtype=np.int64))
        self._key = {"seed": seed, "split": split, "epoch": epoch}
        self._stream = stream

    def __call__(self, family: str, n: int) -> np.ndarray:
        """Returns uniform numbers (B, n) float64 in [0, 1)."""
        numbers = uniform(self._index, n, stream=f"{self._stream}/{family}", **self._key)  # type: ignore[arg-type]
        return numbers.numpy().astype(np.float64)


def _identities(backgrounds: np.ndarray) -> Transforms:
    n = len(backgrounds)
    palettes = np.tile(np.arange(COLORS, dtype=np.uint8), (n, 1))
    return Transforms(
        palettes, np.zeros(n, dtype=np.int64), np.zeros((n, 2), dtype=np.int64), backgrounds
    )


def _bounds(room: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest shift (down, right), each (B, 2)."""
    allowed = np.minimum(room, radius)
    return -allowed[:, [0, 2]], allowed[:, [1, 3]]


def _cycles(u: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """Returns palettes (B, 10) from uniform numbers (B, 9).

    Each colour except the background is mapped to the next one in a random order.
    """
    n = len(u)
    others = np.tile(np.arange(1, COLORS), (n, 1))
    others[others == backgrounds[:, None]] = 0  # now the nine colours other than the background
    order = np.take_along_axis(others, np.argsort(u, axis=1, kind="stable"), axis=1)
    palettes = np.tile(np.arange(COLORS, dtype=np.uint8), (n, 1))
    np.put_along_axis(palettes, order, np.roll(order, -1, axis=1).astype(np.uint8), axis=1)
    return palettes


def _checked(room: np.ndarray, n: int) -> np.ndarray:
    room = np.asarray(room, dtype=np.int64)
    if room.shape != (n, 4) or (room < 0).any():
        raise ValueError(f"room must be ({n}, 4) and not negative, got shape {room.shape}")
    return room
