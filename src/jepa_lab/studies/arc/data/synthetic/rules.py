"""Rules over primitives: one step, a sequence, a condition with two branches, a repetition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jepa_lab.studies.arc.data.synthetic.primitives import Undefined, apply_primitive, objects
from jepa_lab.studies.arc.data.task import Grid

MOST_REPETITIONS = (
    60  # of a step that is repeated until nothing changes; the longest way in a grid is 58
)


@dataclass(frozen=True)
class RuleStep:
    """One primitive with its parameters, the same for every grid."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()

    def states(self, grid: Grid) -> list[Grid]:
        """The grid and what the step makes of it. Raises Undefined."""
        return [grid, apply_primitive(self.name, grid, dict(self.params))]

    def __str__(self) -> str:
        return _call(self.name, self.params)


@dataclass(frozen=True)
class Sequence:
    """Steps one after another."""

    steps: tuple[RuleStep, ...]

    def states(self, grid: Grid) -> list[Grid]:
        """The grid and what it is after each step. Raises Undefined."""
        found = [grid]
        for step in self.steps:
            found.append(step.states(found[-1])[-1])
        return found

    def __str__(self) -> str:
        return ", then ".join(map(str, self.steps))


@dataclass(frozen=True)
class Condition:
    """A property of a grid: has_color(color), more_objects_than(n), taller_than_wide()."""

    name: str
    params: tuple[tuple[str, Any], ...] = ()

    def holds(self, grid: Grid) -> bool:
        """Whether the grid has the property. ValueError for an unknown one."""
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
    """One step where a condition holds, another elsewhere."""

    condition: Condition
    then: RuleStep
    otherwise: RuleStep

    def states(self, grid: Grid) -> list[Grid]:
        """The grid and what its branch makes of it. Raises Undefined."""
        return (self.then if self.condition.holds(grid) else self.otherwise).states(grid)

    def __str__(self) -> str:
        return f"if {self.condition}: {self.then}, else {self.otherwise}"


@dataclass(frozen=True)
class Repeat:
    """A step some number of times, or (None) until nothing changes."""

    step: RuleStep
    times: int | None

    def states(self, grid: Grid) -> list[Grid]:
        """The grid and what it is after each repetition. Raises Undefined, also where it never
        comes to rest."""
        found = [grid]
        for _ in range(MOST_REPETITIONS if self.times is None else self.times):
            after = self.step.states(found[-1])[-1]
            if self.times is None and np.array_equal(after, found[-1]):
                return found
            found.append(after)
        if self.times is None:
            raise Undefined(f"{self.step} still changes the grid after {MOST_REPETITIONS} times")
        return found

    def __str__(self) -> str:
        return (
            f"{self.step},"
            f" {'until nothing changes' if self.times is None else f'{self.times} times'}"
        )


Rule = RuleStep | Sequence | Conditional | Repeat


def _call(name: str, params: tuple[tuple[str, Any], ...]) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in params)})"
