"""Preflight: on a few images, before training, whether what is configured can be trained at all."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from jepa_lab import preflight_checks as checks
from jepa_lab.build import Budget
from jepa_lab.config import Config
from jepa_lab.data.images import ImageSource, Splits
from jepa_lab.data.loader import ImageBatch
from jepa_lab.errors import UserError
from jepa_lab.modules.seq_jepa import SeqJEPA
from jepa_lab.preflight_checks import NotApplicable

SAMPLES = 8


@dataclass(frozen=True)
class Check:
    """One check: `failures` has a line for each thing that is wrong, with the key that causes it; `skipped` says why
    there was nothing to check."""

    name: str
    failures: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True)
class Preflight:
    """What the checks found, and the seconds they took."""

    checks: tuple[Check, ...]
    seconds: float

    @property
    def failures(self) -> list[str]:
        """Every line of every failed check."""
        return [line for check in self.checks for line in check.failures]

    def to_dict(self, mode: str) -> dict[str, Any]:
        """For summary.json: {mode, seconds, failed, checks: {name: "passed", "not applicable: ..." or the lines}}."""
        return {
            "mode": mode,
            "seconds": self.seconds,
            "failed": [check.name for check in self.checks if check.failures],
            "checks": {check.name: _told(check) for check in self.checks},
        }

    def require(self) -> None:
        """UserError with the lines of all failed checks."""
        if self.failures:
            raise UserError(f"preflight: {'; '.join(self.failures)}")


def run_preflight(config: Config, splits: Splits, module: SeqJEPA, budget: Budget) -> Preflight:
    """Runs every check on copies of the module, on a CPU in float32; random streams and the module stay as they are.

    A check that raises has failed, and its line is the exception's: the run will show where.
    """
    start = time.perf_counter()
    train, val = sample("train", splits.train), sample("val", splits.val)
    ready: list[tuple[str, Callable[[], list[str]]]] = [
        ("warmup", lambda: checks.warmup(config)),
        ("augmentation", lambda: checks.augmentation(config, module.group, train)),
        ("contexts", lambda: checks.contexts(config, module.group, train)),
        ("target", lambda: checks.target(config, module)),
        ("evaluation", lambda: checks.evaluation(config, module, val)),
        ("loss_terms", lambda: checks.loss_terms(config, module, train)),
        ("save_and_load", lambda: checks.save_and_load(config, module, train, budget.steps)),
    ]
    with streams_restored():
        done = tuple(run_check(name, check) for name, check in ready)
    return Preflight(done, time.perf_counter() - start)


def sample(split: str, source: ImageSource, n: int = SAMPLES) -> ImageBatch:
    """A batch of n images (fewer where there are fewer), spread evenly over the source."""
    index = torch.linspace(0, len(source.images) - 1, min(n, len(source.images))).long()
    labels = None if source.labels is None else source.labels[index]
    batch = (split, index, source.images[index], labels)
    return batch if source.maps is None else (*batch, source.maps[index])


@contextmanager
def streams_restored() -> Iterator[None]:
    """Context: the random streams of torch (CPU), numpy and Python are afterwards where they were."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)


def run_check(name: str, check: Callable[[], list[str]]) -> Check:
    """What a check found; one that raises has failed."""
    try:
        return Check(name, tuple(check()))
    except NotApplicable as reason:
        return Check(name, skipped=str(reason))
    except Exception as error:
        text = str(error).split("\n", 1)[0]
        return Check(name, (f"the check {name} could not be made: {type(error).__name__}: {text}",))


def _told(check: Check) -> str | list[str]:
    if check.skipped is not None:
        return f"not applicable: {check.skipped}"
    return list(check.failures) or "passed"
