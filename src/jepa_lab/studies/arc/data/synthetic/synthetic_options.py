"""Checks the options of the synthetic generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.task import COLORS, LARGEST

PHASES = {"atomic": 1, "sequential": 2, "conditional": 3, "repeated": 4}
SHARES = {1: 0.3, 2: 0.3, 3: 0.2, 4: 0.2}
STYLES = ("objects", "noise")
SMALLEST = 3  # cells on a side; smaller grids have no room for two objects
HERE = "dataset.synthetic"


@dataclass(frozen=True)
class SyntheticOptions:
    """Checked options. `sizes` and `colors` are the least and the most, `pairs` the numbers of
    demonstrations and test pairs."""

    sizes: tuple[int, int]
    colors: tuple[int, int]
    pairs: tuple[int, int]
    style: str
    fill: float
    seed: int


def checked_options(
    sizes: Sequence[int],
    colors: Sequence[int],
    pairs: Sequence[int],
    style: str,
    fill: float,
    seed: int,
) -> SyntheticOptions:
    """Returns the checked options. Raises UserError, which names the key, for values that allow no
    task."""
    if style not in STYLES:
        raise UserError(f"{HERE}.style={style}: there are {' and '.join(STYLES)}")
    if not 0 < fill <= 1:
        raise UserError(
            f"{HERE}.fill={fill}: the share of cells with a colour, above 0 and at most 1"
        )
    two = _two_numbers(pairs, "pairs")
    if min(two) < 0 or sum(two) < 1:
        raise UserError(
            f"{HERE}.pairs={list(two)}: numbers of demonstrations and test pairs, one pair or more"
        )
    return SyntheticOptions(
        _range(sizes, "sizes", SMALLEST, LARGEST),
        _range(colors, "colors", 2, COLORS),
        two,
        style,
        float(fill),
        seed,
    )


def phase_sequence(phases: Mapping[Any, float] | None) -> Callable[[], Iterator[int]]:
    """Returns a function that yields the phases of tasks 0, 1, 2, ... in these shares, as even as
    possible in every prefix."""
    shares = SHARES if phases is None else _shares(phases)
    total = sum(shares.values())

    def sequence() -> Iterator[int]:
        counts = dict.fromkeys(shares, 0)
        n = 0
        while True:
            n += 1
            due = max(shares, key=lambda phase: (shares[phase] * n / total - counts[phase], -phase))
            counts[due] += 1
            yield due

    return sequence


def _shares(phases: Mapping[Any, float]) -> dict[int, float]:
    shares: dict[int, float] = {}
    for name, share in phases.items():
        number = PHASES.get(str(name), int(name) if str(name).isdecimal() else 0)
        if number not in PHASES.values():
            raise UserError(
                f"{HERE}.phases.{name}: no such phase; there are 1 to 4 or {', '.join(PHASES)}"
            )
        if (
            isinstance(share, bool)
            or not isinstance(share, int | float)
            or not 0 <= share < float("inf")
        ):
            raise UserError(
                f"{HERE}.phases.{name}={share}: a share or a number of tasks, 0 or more"
            )
        if share > 0:
            shares[number] = shares.get(number, 0.0) + float(share)
    if not shares:
        raise UserError(
            f"{HERE}.phases: no phase has a share above 0; give shares such as {{1: .5, 2: .5}}"
        )
    return shares


def _range(values: Sequence[int], name: str, least: int, most: int) -> tuple[int, int]:
    low, high = _two_numbers(values, name)
    if not least <= low <= high <= most:
        raise UserError(
            f"{HERE}.{name}={[low, high]}: expected the least and the most, from {least} to {most}"
        )
    return low, high


def _two_numbers(values: Sequence[int], name: str) -> tuple[int, int]:
    numbers = list(values)
    if len(numbers) != 2 or not all(type(number) is int for number in numbers):
        raise UserError(f"{HERE}.{name}={numbers}: two whole numbers are needed")
    return numbers[0], numbers[1]
