"""The config group `aux`: turns the mapping of each auxiliary loss into checked options."""

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
    """The keys of every auxiliary loss. `weight` times the loss is added to the total. The weight
    rises linearly from 0 over the share `ramp` of the run's steps. ramp=0 means a constant
    weight."""

    weight: float
    ramp: float

    regulariser: ClassVar[str] = ""  # name of the same term in objectives that contain it anyway

    def check(self, key: str) -> None:
        at_least(f"{key}.weight", self.weight, 0.0)
        within(f"{key}.ramp", self.ramp, 0.0, 1.0)

    def weight_at(self, progress: float) -> float:
        """Returns the weight after a share `progress` of the run's steps."""
        return self.weight if progress >= self.ramp else self.weight * progress / self.ramp

    def at_tap(self, key: str) -> AuxOptions:
        """Returns the options of the same loss on a tap, for objectives without this term."""
        return self

    def refuse_tap(self, key: str) -> None:
        """Raises ValueError for a key that repeats a setting of the objective, if the objective has
        this term."""


def checked_aux(aux: Mapping[str, Any], lambda_rate: float) -> tuple[dict[str, AuxOptions], float]:
    """Returns the options of all auxiliary losses and the weight of the coding rate, for an
    objective with a coding rate.

    The weight is `lambda_rate`, or that of an auxiliary loss that sets it. Raises ValueError for an
    invalid name of a loss, unknown keys, values out of range, and two contradictory weights of the
    coding rate.
    """
    losses = _options(aux, TERMS_OF_A_SEQ_JEPA)
    rates = {name: loss for name, loss in losses.items() if loss.regulariser == "coding_rate"}
    if len(rates) > 1:
        raise ValueError(f"aux={','.join(rates)}: all weigh the one coding rate; keep one of them")
    for name, loss in rates.items():
        loss.refuse_tap(f"aux.{name}")
        if loss.weight and lambda_rate and loss.weight != lambda_rate:
            raise ValueError(
                f"aux.{name}.weight={loss.weight:g} and loss.lambda_rate={lambda_rate:g} contradict"
                f" each other: both weigh the one coding rate; give aux.{name}.weight alone"
            )
        lambda_rate = loss.weight or lambda_rate
    return losses, lambda_rate


def checked_tap_aux(aux: Mapping[str, Any], terms: Sequence[str]) -> dict[str, AuxOptions]:
    """Returns the options of all auxiliary losses, for an objective with these terms and without a
    coding rate. Raises ValueError as checked_aux does."""
    return {name: loss.at_tap(f"aux.{name}") for name, loss in _options(aux, terms).items()}


def _options(aux: Mapping[str, Any], taken: Sequence[str]) -> dict[str, AuxOptions]:
    for name in map(str, aux):
        if name in taken or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            expected = f"lower-case letters, digits and _, and none of {', '.join(taken)}"
            raise ValueError(f"aux.{name}: not a name for an auxiliary loss; {expected}")
    return {str(name): options_at(f"aux.{name}", given, AuxOptions) for name, given in aux.items()}
