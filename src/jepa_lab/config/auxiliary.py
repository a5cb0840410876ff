"""The auxiliary losses of a configuration, the group `aux`: from mappings of keys to the options
that they read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jepa_lab.config.extensions import Options, options_at
from jepa_lab.config.ranges import at_least, within

TERMS_OF_A_SEQ_JEPA = ("prediction", "rate", "supervised", "total")


@dataclass(kw_only=True)
class AuxOptions(Options):
    """The keys that every auxiliary loss has. `weight` times the loss is added to the total; it
    rises linearly from 0 over the first `ramp` of the run's steps (0: constant)."""

    weight: float
    ramp: float

    regulariser: ClassVar[str] = ""  # the name by which an objective knows the same term as its own

    def check(self, key: str) -> None:
        at_least(f"{key}.weight", self.weight, 0.0)
        within(f"{key}.ramp", self.ramp, 0.0, 1.0)

    def weight_at(self, progress: float) -> float:
        """The weight when that share of the run's steps is done."""
        return self.weight if progress >= self.ramp else self.weight * progress / self.ramp

    def at_tap(self, key: str) -> AuxOptions:
        """The options of the same loss on a tap, where the objective has no such term of its own.
        The options of the same loss on a tap, where the objective has no such term of its own."""
        return self

    def refuse_tap(self, key: str) -> None:
        """Raises ValueError for a key that says what the objective says already, where it has such
        a term."""


def checked_aux(aux: Mapping[str, Any], lambda_rate: float) -> tuple[dict[str, AuxOptions], float]:
    """The options of every auxiliary loss beside an objective with a coding rate, and the weight of
    this rate that they make of `lambda_rate`.

    ValueError for a name that no auxiliary loss can have, keys that the loss does not have, values
    out of range, and two weights of the coding rate that contradict each other.
    """
    arms = _options(aux, TERMS_OF_A_SEQ_JEPA)
    rates = {name: arm for name, arm in arms.items() if arm.regulariser == "coding_rate"}
    if len(rates) > 1:
        raise ValueError(f"aux={','.join(rates)}: there is one coding rate; give one of them")
    for name, arm in rates.items():
        arm.refuse_tap(f"aux.{name}")
        if arm.weight and lambda_rate and arm.weight != lambda_rate:
            raise ValueError(
                f"aux.{name}.weight={arm.weight:g} and loss.lambda_rate={lambda_rate:g} contradict:"
                f" both weigh the one coding rate; give aux.{name}.weight alone"
            )
        lambda_rate = arm.weight or lambda_rate
    return arms, lambda_rate


def checked_tap_aux(aux: Mapping[str, Any], terms: Sequence[str]) -> dict[str, AuxOptions]:
    """The options of every auxiliary loss beside an objective with these terms, which has no coding
    rate of its own. ValueError as for `checked_arms`."""
    return {name: arm.at_tap(f"aux.{name}") for name, arm in _options(aux, terms).items()}


def _options(aux: Mapping[str, Any], taken: Sequence[str]) -> dict[str, AuxOptions]:
    for name in map(str, aux):
        if name in taken or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            wanted = f"small letters, digits and _, and none of {', '.join(taken)}"
            raise ValueError(f"aux.{name}: no name for an auxiliary loss; {wanted}")
    return {str(name): options_at(f"aux.{name}", given, AuxOptions) for name, given in aux.items()}
