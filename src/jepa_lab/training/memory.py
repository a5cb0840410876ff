"""Refuses configurations that the memory of this machine cannot hold, before anything is built.
Imports no torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from jepa_lab.config.run_config import JepaConfig, RunConfig
from jepa_lab.errors import UserError
from jepa_lab.process.memory import in_words, memory_at_hand

C = TypeVar("C", bound=RunConfig)
Path = tuple[Any, ...]  # names of attributes, keys of mappings and places in lists
USUAL = 64  # a value to which a size is lowered, to learn how much of the memory it takes
ROW = 100  # bytes of a metric's value at one step
METRICS = 10  # logged at a training step, at least


def require_memory(config: C, needed: Callable[[C], float], at_hand: float | None = None) -> None:
    """Raises UserError if a configuration needs more memory than `at_hand`, in bytes, or than the
    machine has if that is None.

    `needed` returns a lower bound of the bytes of a configuration, infinite for sizes beyond 64
    bits. The error names the largest number that, lowered alone, makes the run fit, or else the one
    that saves the most.
    """
    at_hand = memory_at_hand() if at_hand is None else at_hand
    size = needed(config)
    if size <= at_hand:
        return
    need = f"the run takes {in_words(size)} of memory or more, and {in_words(at_hand)} are here"
    path = _dominant(config, needed, size, at_hand)
    if path is None:
        raise UserError(f"{need}; lower dataset.batch_size or a width of the model")
    raise UserError(f"{_setting(config, path)}: {need}; give a lower value")


def with_depths(config: C, needed: Callable[[C], float], *paths: Path) -> float:
    """Returns `needed(config)`, where the bytes of a depth above USUAL are extrapolated from those
    of one and two blocks. `paths` lead to the depths."""
    for path in paths:
        depth = _at(config, path)
        if depth is not None and depth > USUAL:
            one, two = (with_depths(_changed(config, path, n), needed, *paths) for n in (1, 2))
            return one if math.isinf(one) else one + (depth - 1) * (two - one)
    return needed(config)


def bytes_of_rows(steps: float, log_every: int) -> float:
    """Returns a lower bound of the bytes of a run's metrics in memory."""
    return steps / log_every * METRICS * ROW


def bytes_of_aux(config: JepaConfig, rows: int) -> float:
    """Returns a lower bound of the bytes of auxiliary losses that project rows on directions."""
    slices = (getattr(o, "n_slices", 0) for o in config.aux.values() if getattr(o, "weight", 0) > 0)
    return float(sum(bytes_of_slices(rows, n) for n in slices))


def bytes_of_slices(rows: int, slices: int, points: int = 17) -> int:
    """Returns the bytes of the phases of rows in random directions, see losses.sigreg."""
    return 4 * rows * slices * points


def _dominant(config: C, needed: Callable[[C], float], size: float, fits: float) -> Path | None:
    """Returns the path of the number that takes most of `size`. None if no number alone does."""
    found: Path | None = None
    least = math.inf if math.isinf(size) else math.nextafter(size, 0.0)
    for path, _ in sorted(_numbers(config, ()), key=lambda one: -one[1]):
        try:
            lowered = needed(_changed(config, path, USUAL))
        except UserError:  # this value alone cannot be lowered, as the width of several heads
            continue
        if lowered <= fits:
            return path
        if lowered < least or (found is None and lowered == least):
            found, least = path, lowered
    return found


def _numbers(node: Any, path: Path) -> Iterator[tuple[Path, float]]:
    """Yields (path, number) of every number above USUAL."""
    if isinstance(node, int | float) and not isinstance(node, bool) and USUAL < node < math.inf:
        yield path, node
    for name in _names(node):
        yield from _numbers(_at(node, (name,)), (*path, name))


def _names(node: Any) -> list[Any]:
    if is_dataclass(node):
        return [f.name for f in fields(node)]
    if isinstance(node, list):
        return list(range(len(node)))
    return list(node) if isinstance(node, dict) else []


def _at(node: Any, path: Path) -> Any:
    for name in path:
        node = getattr(node, str(name)) if is_dataclass(node) else node[name]
    return node


def _changed(config: C, path: Path, value: int) -> C:
    """Returns a copy of the configuration with another number at a path."""
    changed = copy.deepcopy(config)
    parent = _at(changed, path[:-1])
    if is_dataclass(parent):
        setattr(parent, str(path[-1]), value)
    else:
        parent[path[-1]] = value
    return changed


def _setting(config: Any, path: Path) -> str:
    """Returns the number at a path, or the list that holds it, as key=value."""
    key = tuple(name for name in path if not isinstance(name, int))
    return f"{'.'.join(map(str, key))}={_at(config, key)}"
