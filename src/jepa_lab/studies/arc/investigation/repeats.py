"""The result of a step of an investigation: one or several runs that differ in their seed, and the
properties of most of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from jepa_lab.studies.arc.investigation.detectors import Fired
from jepa_lab.studies.arc.investigation.run_verdict import (
    DEAD,
    EMB_COLLAPSE,
    NO_LEARNING,
    SPIKE,
    STABLE,
    WEAK,
    RunVerdict,
)

ORDER = (
    "CRASH",
    "EMB_COLLAPSE",
    "SPIKE",
    "AUX_EXPLOSION",
    "LOSS_RISES",
    "RANK_FALLS",
    "INCONCLUSIVE",
    "VQ_COLLAPSE",
    "VQ_SLOW_DEATH",
    "NO_LEARNING",
    "CLAMPED",
    "WEAK",
    "STABLE",
    "VQ_OK",
)


@dataclass(frozen=True)
class Ran:
    """One run with its folder, seed, state as in status.json, and verdict. `reused` is true if it
    was finished before."""

    path: Path
    seed: int
    state: str
    verdict: RunVerdict
    reused: bool = False


@dataclass(frozen=True)
class Result:
    """The runs of one step and their overrides of the base. `error` is the reason why the step
    could not be run, or ''."""

    name: str
    overrides: Mapping[str, Any]
    runs: tuple[Ran, ...] = ()
    error: str = ""

    @property
    def flags(self) -> frozenset[str]:
        """The flags that hold in more than half of the runs."""
        counts = Counter(flag for run in self.runs for flag in run.verdict.flags)
        return frozenset(flag for flag, count in counts.items() if 2 * count > len(self.runs))

    def has(self, *flags: str) -> bool:
        """Returns whether more than half of the runs have at least one of these flags. A codebook
        that dies slowly in one run and at once in another is dead in both."""
        return self._most(lambda v: bool(v.flags & set(flags)))

    @property
    def stable(self) -> bool:
        """Whether more than half of the runs are STABLE."""
        return self.has(STABLE)

    @property
    def alive(self) -> bool:
        """Whether more than half of the runs have no dead codebook: none at all, or one in use."""
        return self._most(lambda v: not v.flags & DEAD)

    @property
    def spikes(self) -> bool:
        """Whether more than half of the runs have a SPIKE."""
        return self.has(SPIKE)

    @property
    def learns(self) -> bool:
        """Whether the prediction is better than chance in more than half of the runs."""
        return self._most(lambda v: NO_LEARNING not in v.flags)

    @property
    def weak(self) -> bool:
        """Whether the context has few directions (2 to 5)."""
        return self.has(WEAK) and not self.has(EMB_COLLAPSE)

    @property
    def good(self) -> bool:
        """Whether more than half of the runs are good: each stable, better than chance, and without
        a dead codebook."""
        return self._most(lambda v: v.good)

    def figure(self, name: str) -> float:
        """Returns the median of a figure over the runs, NaN if no run has it."""
        values = self._values(name)
        return median(values) if values else math.nan

    def spread(self, name: str) -> tuple[float, float]:
        """Returns the least and the largest value over the runs, NaN if no run has it."""
        values = self._values(name)
        return (min(values), max(values)) if values else (math.nan, math.nan)

    def line(self) -> str:
        """Lists the flags of most runs, the worst first."""
        if self.error:
            return f"could not be run: {self.error}"
        named = [flag for flag in ORDER if flag in self.flags]
        return ", ".join(named) or "no property holds in most of its runs"

    @property
    def first(self) -> Fired | None:
        """The most frequent first detector of the runs, as it fired in the first such run."""
        firsts = [f for run in self.runs if (f := run.verdict.first) is not None]
        if not firsts:
            return None
        flag, _ = Counter(f.flag for f in firsts).most_common(1)[0]
        return next(f for f in firsts if f.flag == flag)

    def _most(self, holds: Callable[[RunVerdict], bool]) -> bool:
        return 2 * sum(holds(run.verdict) for run in self.runs) > len(self.runs)

    def _values(self, name: str) -> list[float]:
        return [run.verdict.figures[name] for run in self.runs if name in run.verdict.figures]
