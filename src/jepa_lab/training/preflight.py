"""Preflight: checks on a few images, before training, that the configuration can be trained."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.errors import UserError
from jepa_lab.process.memory import is_out_of_memory

SAMPLES = 8


@dataclass(frozen=True)
class Check:
    """The result of one check. `failures` has a line for each problem, with the key that causes it.
    `skipped` is the reason if there was nothing to check."""

    name: str
    failures: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True)
class Preflight:
    """The results of the checks, and the seconds they took."""

    checks: tuple[Check, ...]
    seconds: float

    @property
    def failures(self) -> list[str]:
        """The lines of all failed checks."""
        return [line for check in self.checks for line in check.failures]

    def to_dict(self, mode: str) -> dict[str, Any]:
        """Returns the entry of summary.json: {mode, seconds, failed, checks: {name: "passed", "not
        applicable: ..." or the lines}}."""
        return {
            "mode": mode,
            "seconds": self.seconds,
            "failed": [check.name for check in self.checks if check.failures],
            "checks": {check.name: _outcome(check) for check in self.checks},
        }

    def require(self) -> None:
        """Raises UserError with the lines of all failed checks."""
        if self.failures:
            raise UserError(f"preflight: {'; '.join(self.failures)}")


@contextmanager
def streams_restored(gpus: Iterable[int] = ()) -> Iterator[None]:
    """Restores the random streams of torch (CPU and `gpus`), numpy and Python at the end of the
    context."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)


def run_check(name: str, check: Callable[[], list[str]]) -> Check:
    """Returns the result of a check. A check that raises has failed, except for used-up memory,
    which the run would not have either."""
    try:
        return Check(name, tuple(check()))
    except NotApplicable as reason:
        return Check(name, skipped=str(reason))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        text = str(error).split("\n", 1)[0]
        return Check(name, (f"the check {name} itself failed: {type(error).__name__}: {text}",))


def _outcome(check: Check) -> str | list[str]:
    if check.skipped is not None:
        return f"not applicable: {check.skipped}"
    return list(check.failures) or "passed"


WARMUP = 0.2  # largest usual share of a run; with more, few steps have the full learning rate


class NotApplicable(Exception):
    """There is nothing to check. The text is the reason."""


def warmup(config: JepaConfig) -> list[str]:
    """Returns a line if warm-up takes more than the usual share of the run."""
    o = config.optim
    if o.lr == 0:
        raise NotApplicable("optim.lr=0")
    if o.warmup <= WARMUP:
        return []
    key = f"optim.warmup={o.warmup:g}"
    if o.warmup_epochs is not None:
        key = f"optim.warmup_epochs={o.warmup_epochs:g} of dataset.epochs={config.dataset.epochs}"
    share = "half" if o.warmup == 0.5 else "all" if o.warmup >= 1 else f"{100 * o.warmup:.0f} %"
    return [f"{key}: {share} of the run is warm-up; at most {100 * WARMUP:.0f} % would be usual"]
