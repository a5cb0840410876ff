"""How long a run is: its steps, its validations, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.errors import UserError
from jepa_lab.networks.target import tau_from_memory

T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """How long a run is."""

    batches: int  # an epoch
    steps: int  # optimiser steps in all
    validate_every: int  # epochs


def build_budget(config: JepaConfig, batches: int) -> Budget:
    """Steps and the interval of validations. UserError if the last epoch would not be validated."""
    epochs = config.dataset.epochs
    every = config.monitor.every_epochs or max(
        n for n in range(1, epochs + 1) if epochs % n == 0 and epochs // n >= min(epochs, 12)
    )
    if epochs % every:
        raise UserError(
            f"monitor.every_epochs={every}: {epochs} epochs are no multiple of it; the last would"
            " go unseen"
        )
    return Budget(batches, epochs * math.ceil(batches / config.optim.accumulate), every)


def required(value: T | None) -> T:
    """The value, which the configuration's check has found to be there."""
    assert value is not None
    return value


def target_tau(config: JepaConfig, steps: int) -> float:
    """The EMA rate of the run: as given, or from the memory's share of the steps."""
    tau = config.target.tau
    return tau_from_memory(config.target.memory, steps) if tau is None else tau
