"""Rules over primitives: one step, a sequence, a condition with two branches, a repetition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jepa_lab.studies.arc.data.synthetic.primitives import Undefined, apply_primitive, objects
from jepa_lab.studies.arc.data.task import Grid

# limit of repetitions until nothing changes; the longest way in a grid is 58
MOST_REPETITIONS = 60


@dataclass(frozen=True)
class RuleStep:
    """One primitive with its parameters, the same for every grid."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()

    def states(self, grid: Grid) -> list[Grid]:
        """Returns the grid and its result. Raises Undefined if the primitive does."""
        return [grid, apply_primitive(self.name, grid, dict(self.params))]

    def __str__(self) -> str:
        return _call(self.name, self.params)


@dataclass(frozen=True)
class Sequence:
    """Steps one after another."""

    steps: tuple[RuleStep, ...]

    def states(self, grid: Grid) -> list[Grid]:
        """Returns the grid and its state after each step. Raises Undefined if a primitive does."""
        states = [grid]
        for step in self.steps:
            states.append(step.states(states[-1])[-1])
        return states

    def __str__(self) -> str:
        return ", then ".join(map(str, self.steps))


@dataclass(frozen=True)
class Condition:
    """A property of a grid: has_color(color), more_objects_than(n), taller_than_wide()."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()

    def holds(self, grid: Grid) -> bool:
        """Returns whether the grid has the property. Raises ValueError for an unknown property."""
        params = dict(self.params)
        if self.name == "has_color":
            return bool((grid == params["color"]).any())
        if self.name == "more_objects_than":
            return len(objects(grid)) > params["n"]
        if self.name == "taller_than_wide":
            return grid.shape[0] > grid.shape[1]
        raise ValueError(
            f"no condition {self.name!r}; there are has_color, more_objects_than, taller_than_wide"
        )

    def __str__(self) -> str:
        return _call(self.name, self.params)


@dataclass(frozen=True)
class Conditional:
    """One step if a condition holds, else another."""

    condition: Condition
    then: RuleStep
    otherwise: RuleStep

    def states(self, grid: Grid) -> list[Grid]:
        """Returns the grid and the result of its branch. Raises Undefined if the primitive does."""
        return (self.then if self.condition.holds(grid) else self.otherwise).states(grid)

    def __str__(self) -> str:
        return f"if {self.condition}: {self.then}, else {self.otherwise}"


@dataclass(frozen=True)
class Repeat:
    """A step repeated `times` times, or until nothing changes if `times` is None."""

    step: RuleStep
    times: int | None

    def states(self, grid: Grid) -> list[Grid]:
        """Returns the grid and its state after each repetition. Raises Undefined if the primitive
        does, or if the grid never stops changing."""
        states = [grid]
        for _ in range(MOST_REPETITIONS if self.times is None else self.times):
            after = self.step.states(states[-1])[-1]
            if self.times is None and np.array_equal(after, states[-1]):
                return states
            states.append(after)
        if self.times is None:
            raise Undefined(f"{self.step} still changes the grid after {MOST_REPETITIONS} times")
        return states

    def __str__(self) -> str:
        return (
            f"{self.step},"
            f" {'until nothing changes' if self.times is None else f'{self.times} times'}"
        )


Rule = RuleStep | Sequence | Conditional | Repeat


def _call(name: str, params: tuple[tuple[str, Any], ...]) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in params)})"
