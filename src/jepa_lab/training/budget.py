"""The length of a run in steps, its validations, and values that depend on the length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.errors import UserError
from jepa_lab.networks.ema import tau_from_memory

T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """The length of a run: `batches` per epoch, optimiser `steps` in total, and validation every
    `validate_every` epochs."""

    batches: int
    steps: int
    validate_every: int


def build_budget(config: JepaConfig, batches: int) -> Budget:
    """Returns the steps and the validation interval. Raises UserError if the last epoch would not
    be validated."""
    epochs = config.dataset.epochs
    every = config.monitor.every_epochs or epochs // _validations(epochs)
    if epochs % every:
        raise UserError(
            f"monitor.every_epochs={every}: {epochs} epochs are not a multiple of it, so the last"
            " one would not be validated"
        )
    return Budget(batches, epochs * math.ceil(batches / config.optim.accumulate), every)


def _validations(epochs: int) -> int:
    """Returns the least divisor of the number of epochs from 12 on, or the number itself below
    12."""
    root = math.isqrt(epochs)
    below = next((n for n in range(12, root + 1) if epochs % n == 0), None)
    if below is not None or epochs < 12:
        return below or epochs
    # else it is the partner of the largest divisor that leaves 12 or more
    return next(epochs // n for n in range(min(root, epochs // 12), 0, -1) if epochs % n == 0)


def required(value: T | None) -> T:
    """Returns the value, which the check of the configuration guarantees not to be None."""
    assert value is not None
    return value


def target_tau(config: JepaConfig, steps: int) -> float:
    """Returns the EMA rate of the run: target.tau, or if that is None the rate whose memory is the
    share target.memory of the steps."""
    tau = config.target.tau
    return tau_from_memory(config.target.memory, steps) if tau is None else tau
