"""The thresholds of the verdict, read from thresholds.yaml in this folder. Each has a value and a
reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

ROLES = {"z": "equivariant", "z_agg": "invariant", "z_target": "target", "codebook": "codebook"}
SHARED = ("tap", "rows", "run", "confidence", "toy", "investigation")
PREFIXES = {"toy": "toy_", "investigation": "step_"}  # names of these sections would clash


@cache
def table() -> dict[str, Any]:
    """Returns the content of thresholds.yaml: {section: {name: {value, why}}}, `roles` one level
    deeper."""
    text = files("jepa_lab.diagnosis").joinpath("thresholds.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _shared() -> dict[str, float]:
    return {name: float(entry["value"]) for section in SHARED for name, entry in _named(section)}


def _named(section: str) -> list[tuple[str, Any]]:
    prefix = PREFIXES.get(section, "")
    return [(prefix + name, entry) for name, entry in table()[section].items()]


def _roles() -> dict[str, dict[str, float]]:
    return {
        r: {n: float(e["value"]) for n, e in names.items()} for r, names in table()["roles"].items()
    }


@dataclass(frozen=True)
class Thresholds:
    """The thresholds by name, as in `t.rank`. Raises AttributeError for an unknown name."""

    values: Mapping[str, float] = field(default_factory=_shared)
    roles: Mapping[str, Mapping[str, float]] = field(default_factory=_roles)

    def __getattr__(self, name: str) -> float:
        values: Mapping[str, float] = self.__dict__.get("values", {})
        if name not in values:
            raise AttributeError(
                f"no threshold {name!r}; thresholds.yaml has {', '.join(sorted(values))}"
            )
        return values[name]

    def of(self, tap: str) -> Thresholds:
        """Returns the thresholds for a tap. If the tap has a role, the values of the role override
        the shared ones."""
        return Thresholds({**self.values, **self.roles.get(ROLES.get(tap, ""), {})}, self.roles)

    def but(self, **changes: float) -> Thresholds:
        """Returns a copy with some values replaced, also in every role that has them. Raises
        AttributeError for an unknown name."""
        known = set(self.values).union(*self.roles.values())
        for name in changes.keys() - known:
            raise AttributeError(f"no threshold {name!r}")
        roles = {
            r: {**v, **{n: x for n, x in changes.items() if n in v}} for r, v in self.roles.items()
        }
        return Thresholds(
            {**self.values, **{n: x for n, x in changes.items() if n in self.values}}, roles
        )

    def confidence(self, distance: float) -> float:
        """Returns 1 / (1 + exp(-(intercept + slope * distance))). With intercept 0 it is 0.5 on the
        threshold. For an infinite distance it is 1."""
        exponent = self.intercept + self.slope * distance
        return 1.0 / (1.0 + math.exp(-min(max(exponent, -700.0), 700.0)))


def distance(value: float, threshold: float, floor: float = 1e-6) -> float:
    """Returns |log(value / threshold)|, the distance in factors of e. Both are raised to `floor` if
    they are smaller."""
    return abs(math.log(max(value, floor) / max(threshold, floor)))
