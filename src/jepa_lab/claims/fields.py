"""Reads the value of each key of a claim. A wrong value raises UserError with a correct example."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jepa_lab.claims.statistics import statistics
from jepa_lab.errors import UserError, nearest

MOST_SEEDS = 10_000


def check_keys(given: Any, keys: Iterable[str], place: str) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{place}: a mapping is needed, got {given!r}")
    known = list(keys)
    for key in given:
        if key not in known:
            raise UserError(f"{place}: {key}: no such key{nearest(str(key), known)}")


def read_settings(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(
            f"{place}: settings are needed, e.g. {{dataset.name: digits_rot, loss.lambda_rate:"
            " 0.003}"
        )
    for key, setting in value.items():
        if isinstance(setting, dict):
            inner = next(iter(setting), "key")
            raise UserError(
                f"{place}: {key}: settings are written with dots, e.g. {key}.{inner}: ..."
            )
    if "seed" in value:
        raise UserError(f"{place}: seed: seeds have their own key, e.g. seeds: range(0,8)")
    return value


def read_choice(value: Any, known: Sequence[str], place: str) -> str:
    if value not in known:
        raise UserError(f"{place}: {value}: unknown; {' | '.join(known)}")
    return str(value)


def _number(value: Any, place: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{place}: {value}: a finite number is needed, e.g. 0.02")
    return found


def _is_factor(given: Mapping[str, Any]) -> bool:
    """Returns whether the numbers of the claim are factors, i.e. its statistic is a logarithm."""
    return "statistic" in given and statistics()[given["statistic"]["name"]].logarithm


def read_reference(given: Mapping[str, Any], place: str) -> float:
    reference = _number(
        given.get("reference", 1.0 if _is_factor(given) else 0.0), f"{place}: reference"
    )
    if _is_factor(given) and reference <= 0:
        raise UserError(
            f"{place}: reference: {reference:g}: must be above 0, since the statistic is a factor;"
            " e.g. 1"
        )
    return reference


def read_worst(given: Mapping[str, Any], place: str) -> float | None:
    if given.get("worst") is None:
        return None
    worst = _number(given["worst"], f"{place}: worst")
    if _is_factor(given) and worst <= 0:
        raise UserError(
            f"{place}: worst: {worst:g}: must be above 0, since the statistic is a factor; e.g. 100"
        )
    return worst


def read_margin(given: Mapping[str, Any], place: str) -> float:
    test = given.get("test", "difference")
    if _is_factor(given):
        margin = _number(given.get("margin", 1.0), f"{place}: margin")
        if margin < 1 or (margin == 1 and test != "difference"):
            raise UserError(f"{place}: margin: {margin:g}: must be a factor above 1, e.g. 1.5")
        return margin
    margin = _number(given.get("margin", 0.0), f"{place}: margin")
    if margin < 0 or (margin == 0 and test != "difference"):
        least = "at least 0" if test == "difference" else f"above 0 for {test}"
        raise UserError(f"{place}: margin: {margin:g}: must be {least}, e.g. 0.02")
    return margin


def read_seeds(value: Any, place: str) -> tuple[int, ...]:
    if isinstance(value, str) and (
        found := re.fullmatch(r"range\((\d+),\s*(\d+)\)", value.strip())
    ):
        first, end = int(found[1]), int(found[2])
        if end - first > MOST_SEEDS:
            raise UserError(f"{place}: seeds: {value}: more than {MOST_SEEDS:,} seeds")
        value = list(range(first, end))
    if not isinstance(value, list) or not value or not all(type(seed) is int for seed in value):
        raise UserError(
            f"{place}: seeds: {value}: one or more are needed, e.g. range(0,8) or [0, 1, 2]"
        )
    return tuple(dict.fromkeys(value))


def read_runs(value: Any, place: str) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if (
        not isinstance(lines, list)
        or not lines
        or not all(isinstance(line, str) and line.strip() for line in lines)
    ):
        raise UserError(
            f"{place}: runs: the command lines that make the runs are needed, e.g. -m"
            " +experiment=teacherless_b seed=0,1,2"
        )
    for line in lines:
        try:
            shlex.split(line)
        except ValueError as error:
            raise UserError(f"{place}: runs: {line}: {str(error).lower()}; close it") from None
    return tuple(" ".join(line.split()) for line in lines)


def read_family(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise UserError(
            f"{place}: family: {value}: a text is needed, the same for all claims of the family"
        )
    return value


def read_budget(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise UserError(f"{place}: budget: {value}: a text is needed, e.g. 1,020 steps")
    return " ".join(value.split())


def read_list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise UserError(f"{place}: {value}: a list is needed, e.g. [loss.lambda_rate]")
    return value
