"""Synthetic tasks: a random rule and inputs that the rule changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np

from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data.synthetic.primitives import Undefined
from jepa_lab.studies.arc.data.synthetic.rule_draws import Scope, draw_rule
from jepa_lab.studies.arc.data.synthetic.rule_kinds import kind_of
from jepa_lab.studies.arc.data.synthetic.rules import Conditional, Repeat, Rule
from jepa_lab.studies.arc.data.synthetic.scenes import noise_scene, object_scene
from jepa_lab.studies.arc.data.synthetic.synthetic_options import (
    SyntheticOptions,
    checked_options,
    phase_sequence,
)
from jepa_lab.studies.arc.data.task import LARGEST, ArcTask, Grid, Pair, TaskSplits
from jepa_lab.studies.arc.data.task_splits import contents

RULES_TRIED = 500  # for one task; about three of four rules find enough inputs
INPUTS_TRIED = 8  # for each pair


@dataclass(frozen=True)
class SyntheticTasks:
    """Tasks by split, and the rule of each task by its id. str(rule) is readable."""

    splits: TaskSplits
    rules: dict[str, Rule]


def synthetic_splits(**options: Any) -> TaskSplits:
    """Returns the tasks of `synthetic_tasks` without their rules."""
    return synthetic_tasks(**options).splits


def synthetic_tasks(
    n_train: int = 2000,
    n_val: int = 200,
    n_test: int = 200,
    seed: int = 0,
    sizes: tuple[int, int] = (5, 12),
    colors: tuple[int, int] = (3, 6),
    pairs: tuple[int, int] = (3, 1),
    phases: Mapping[int | str, float] | None = None,
    style: str = "objects",
    fill: float = 0.75,
) -> SyntheticTasks:
    """Generates tasks of one rule each. Their ids contain split, number and phase.

    sizes: least and largest side of the inputs in cells, drawn for each input. colors: least and
    largest number of colours including the background, drawn for each task. pairs: numbers of
    demonstrations and test pairs of a task. phases: a share or a number for each phase (1 or
    `atomic`, 2 `sequential`, 3 `conditional`, 4 `repeated`), by default 3:3:2:2. Phases are spread
    evenly, so that any prefix has the same shares. style: `objects`, or `noise` of density `fill`
    with the published primitives and the colours 1 to n - 1.

    Every step of a rule changes every grid of its task. No output is empty, and the outputs of a
    task are not all equal. Two or more demonstrations of a condition show both branches. No two
    tasks share a pair. `frames` are the states of every input with three or more different states
    (phases 2 and 4). Task k of a split depends on the seed and the tasks before it, so a larger n
    only appends tasks. The same parameter-free rule can occur in two splits with different grids.
    Raises UserError for options that allow no task.
    """
    options = checked_options(sizes, colors, pairs, style, fill, seed)
    order = phase_sequence(phases)
    seen: set[bytes] = set()
    rules: dict[str, Rule] = {}
    splits: dict[str, tuple[ArcTask, ...]] = {}
    for split, n in (("test", n_test), ("val", n_val), ("train", n_train)):
        if n < 0:
            raise UserError(f"dataset.{split}_tasks={n}: a number of tasks, 0 or more")
        tasks = []
        for number, phase in zip(range(n), order(), strict=False):
            task, rule = _make_task(split, number, phase, options, seen)
            seen.update(contents(task))
            rules[task.task_id] = rule
            tasks.append(task)
        splits[split] = tuple(tasks)
    return SyntheticTasks(TaskSplits(**splits), rules)


def _make_task(
    split: str, number: int, phase: int, options: SyntheticOptions, seen: set[bytes]
) -> tuple[ArcTask, Rule]:
    rng = Random(f"{options.seed}/{split}/{number}")
    task_id = f"synthetic-{split}-{number:06d}-phase{phase}"
    for _ in range(RULES_TRIED):
        n_colors = rng.randint(*options.colors) - 1
        chosen = (
            range(1, n_colors + 1)
            if options.style == "noise"
            else rng.sample(range(1, 10), n_colors)
        )
        scope = Scope(tuple(chosen), options.sizes[0])
        rule = draw_rule(rng, phase, scope, options.style)
        sequences = _sequences(rng, rule, scope, options)
        if sequences is None:
            continue
        task = _task(task_id, sequences, options.pairs[0], kind_of(rule))
        if seen.isdisjoint(contents(task)):
            return task, rule
    raise UserError(
        f"dataset.synthetic: no new task of phase {phase} after {RULES_TRIED} rules (sizes"
        f" {options.sizes}, colors {options.colors}, style {options.style}); larger grids, more"
        " colours or fewer tasks are needed"
    )


def _sequences(
    rng: Random, rule: Rule, scope: Scope, options: SyntheticOptions
) -> list[list[Grid]] | None:
    """Returns the states of each input under the rule, or None if the rule suits too few inputs."""
    demos, tests = options.pairs
    found: list[list[Grid]] = []
    inputs: set[tuple[tuple[int, ...], bytes]] = set()
    tried = 0
    while len(found) < demos + tests:
        tried += 1
        if tried > INPUTS_TRIED * (len(found) + 1):
            return None
        grid = _input(rng, scope, options)
        key = (grid.shape, grid.tobytes())
        if key in inputs or _misses_a_branch(rule, grid, found, demos):
            continue
        states = _states(rule, grid)
        if states is not None:
            inputs.add(key)
            found.append(states)
    first = found[0][-1]
    if len(found) > 1 and all(np.array_equal(first, states[-1]) for states in found[1:]):
        return None
    return found


def _input(rng: Random, scope: Scope, options: SyntheticOptions) -> Grid:
    height, width = rng.randint(*options.sizes), rng.randint(*options.sizes)
    if options.style == "noise":
        return noise_scene(rng, height, width, scope.colors, options.fill)
    return object_scene(rng, height, width, scope.colors)


def _misses_a_branch(rule: Rule, grid: Grid, found: list[list[Grid]], demos: int) -> bool:
    """Returns whether, with this grid as the last demonstration, no demonstration would show one of
    the branches of the condition."""
    if not isinstance(rule, Conditional) or demos < 2 or len(found) != demos - 1:
        return False
    return {rule.condition.holds(states[0]) for states in found} == {rule.condition.holds(grid)}


def _states(rule: Rule, grid: Grid) -> list[Grid] | None:
    """Returns the states of an input, or None if they are not usable for a task."""
    try:
        states = rule.states(grid)
    except Undefined:
        return None
    idle = any(np.array_equal(a, b) for a, b in pairwise(states))
    unchanged = np.array_equal(states[0], states[-1])
    too_short = len(states) < (3 if isinstance(rule, Repeat) else 2)
    too_large = any(max(state.shape) > LARGEST for state in states)
    return None if idle or unchanged or too_short or too_large or not states[-1].any() else states


def _task(task_id: str, sequences: list[list[Grid]], demos: int, kind: str) -> ArcTask:
    pairs = [Pair(states[0], states[-1]) for states in sequences]
    frames = [tuple(s) for s in sequences if len({(g.shape, g.tobytes()) for g in s}) > 2]
    return ArcTask(task_id, tuple(pairs[:demos]), tuple(pairs[demos:]), tuple(frames), kind)
