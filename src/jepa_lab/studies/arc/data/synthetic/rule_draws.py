"""Draws random rules of the four difficulty phases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from jepa_lab.studies.arc.data.synthetic.rules import (
    Condition,
    Conditional,
    Repeat,
    Rule,
    RuleStep,
    Sequence,
)

ATOMIC, SEQUENTIAL, CONDITIONAL, REPEATED = 1, 2, 3, 4
DIRECTIONS = ("down", "up", "left", "right")


@dataclass(frozen=True)
class Scope:
    """The range of parameters: a task's colours without the background, and the smallest side of
    its inputs."""

    colors: tuple[int, ...]
    side: int


Params = dict[str, Any]
_Draw = Callable[[Random, Scope], Params]


def _two(rng: Random, scope: Scope, first: str, second: str) -> Params:
    """Draws a colour and a different value of the palette, including the background."""
    source = rng.choice(scope.colors)
    return {first: source, second: rng.choice([c for c in (0, *scope.colors) if c != source])}


def _shift(rng: Random, scope: Scope) -> Params:
    most = max(1, scope.side // 2)
    return {"dx": rng.randint(-most, most), "dy": rng.randint(-most, most), "fill": 0}


def _one_cell(rng: Random, scope: Scope) -> Params:
    dx, dy = rng.choice([(0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)])
    return {"dx": dx, "dy": dy, "fill": 0}


def _threshold(rng: Random, scope: Scope) -> Params:
    low, high = rng.sample((0, *scope.colors), 2)
    return {"threshold": rng.randrange(max(scope.colors)), "low": low, "high": high}


def _cell(rng: Random, scope: Scope) -> Params:
    return {
        "y": rng.randrange(scope.side),
        "x": rng.randrange(scope.side),
        "fill": rng.choice(scope.colors),
    }


def _merge(rng: Random, scope: Scope) -> Params:
    a, b = rng.sample(scope.colors, 2) if len(scope.colors) > 1 else (scope.colors[0], 0)
    return {"value_a": a, "value_b": b, "target": rng.choice((0, *scope.colors))}


def _which(rng: Random, scope: Scope) -> Params:
    which = rng.choice(("largest", "smallest", "color"))
    return (
        {"which": which, "color": rng.choice(scope.colors)}
        if which == "color"
        else {"which": which}
    )


def _which_target(rng: Random, scope: Scope) -> Params:
    return {**_which(rng, scope), "target": rng.choice((0, *scope.colors))}


def _none(rng: Random, scope: Scope) -> Params:
    return {}


def _color(rng: Random, scope: Scope) -> Params:
    return {"color": rng.choice(scope.colors)}


def _direction(rng: Random, scope: Scope) -> Params:
    return {"direction": rng.choice(DIRECTIONS)}


PUBLISHED: dict[str, _Draw] = {
    "mirror_x": _none,
    "mirror_y": _none,
    "rotate90": lambda rng, scope: {"k": rng.randint(1, 3)},
    "translate": _shift,
    "recolor": lambda rng, scope: _two(rng, scope, "source", "target"),
    "invert_palette": _none,
    "threshold_gt": _threshold,
    "flood_fill": _cell,
    "extract_shape": _which,
    "merge_touching": _merge,
}
OBJECTS: dict[str, _Draw] = {
    **PUBLISHED,
    "gravity": _direction,
    "extend": lambda rng, scope: {**_color(rng, scope), **_direction(rng, scope)},
    "outline": _color,
    "peel": _none,
    "hollow": _none,
    "fill_holes": _color,
    "keep_object": _which,
    "recolor_object": _which_target,
    "keep_color": _color,
    "crop_to_content": _none,
    "border": _color,
    "append_mirror": lambda rng, scope: {"direction": rng.choice(("right", "down"))},
    "scale_up": lambda rng, scope: {"k": rng.randint(2, 3)},
}
# Steps that still change the grid when they are repeated. Those in SETTLING may be repeated until
# nothing changes.
REPEATABLE: dict[str, _Draw] = {
    "translate": _one_cell,
    "outline": _color,
    "peel": _none,
    "fall": _direction,
    "extend": OBJECTS["extend"],
    "spread": _color,
}
SETTLING = ("fall", "extend", "spread")


def draw_rule(rng: Random, phase: int, scope: Scope, style: str = "objects") -> Rule:
    """Draws a rule of a phase: 1 one step, 2 two or three steps, 3 a condition with two branches,
    4 a repetition.

    Style `noise` draws from the ten published primitives alone, except in phase 4.
    """
    table = PUBLISHED if style == "noise" else OBJECTS
    if phase == ATOMIC:
        return _step(rng, scope, table)
    if phase == SEQUENTIAL:
        return Sequence(tuple(_step(rng, scope, table) for _ in range(rng.randint(2, 3))))
    if phase == CONDITIONAL:
        return _conditional(rng, scope, table)
    step = _step(rng, scope, REPEATABLE)
    settles = step.name in SETTLING and rng.random() < 0.5
    return Repeat(step, None if settles else rng.randint(2, 4))


def _conditional(rng: Random, scope: Scope, table: dict[str, _Draw]) -> Conditional:
    then = otherwise = _step(rng, scope, table)
    while otherwise == then:
        otherwise = _step(rng, scope, table)
    name = rng.choice(("has_color", "more_objects_than", "taller_than_wide"))
    params: tuple[tuple[str, Any], ...] = ()
    if name == "has_color":
        params = (("color", rng.choice(scope.colors)),)
    elif name == "more_objects_than":
        params = (("n", rng.randint(1, 4)),)
    return Conditional(Condition(name, params), then, otherwise)


def _step(rng: Random, scope: Scope, table: dict[str, _Draw]) -> RuleStep:
    name = rng.choice(list(table))
    return RuleStep(name, tuple(table[name](rng, scope).items()))
