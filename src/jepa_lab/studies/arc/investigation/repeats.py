"""What a step of an investigation gave: one run or several that differ in their seed, and what most
of them show."""

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
    """One run: its folder, seed, state as in status.json, and verdict; reused: it was finished
    before."""

    path: Path
    seed: int
    state: str
    verdict: RunVerdict
    reused: bool = False


@dataclass(frozen=True)
class Result:
    """The runs of one step and the overlay over the base that made them; error: why it could not be
    run, or ''."""

    name: str
    overrides: Mapping[str, Any]
    runs: tuple[Ran, ...] = ()
    error: str = ""

    @property
    def flags(self) -> frozenset[str]:
        """What holds in more than half of the runs."""
        counts = Counter(flag for run in self.runs for flag in run.verdict.flags)
        return frozenset(flag for flag, count in counts.items() if 2 * count > len(self.runs))

    def has(self, *flags: str) -> bool:
        """Whether any of these holds in more than half of the runs, together: a codebook that dies
        slowly in one and at once in another is dead in both."""
        return self._most(lambda v: bool(v.flags & set(flags)))

    @property
    def stable(self) -> bool:
        """STABLE in more than half of the runs."""
        return self.has(STABLE)

    @property
    def alive(self) -> bool:
        """No dead codebook in more than half of the runs: there is none, or it is in use."""
        return self._most(lambda v: not v.flags & DEAD)

    @property
    def spikes(self) -> bool:
        """SPIKE in more than half of the runs."""
        return self.has(SPIKE)

    @property
    def learns(self) -> bool:
        """The prediction is better than chance in more than half of the runs."""
        return self._most(lambda v: NO_LEARNING not in v.flags)

    @property
    def weak(self) -> bool:
        """The context has few directions (2 to 5)."""
        return self.has(WEAK) and not self.has(EMB_COLLAPSE)

    @property
    def good(self) -> bool:
        """More than half of the runs are stable, with their codebook in use and better than chance,
        each in itself."""
        return self._most(lambda v: v.good)

    def figure(self, name: str) -> float:
        """The median over the runs; NaN where none has it."""
        values = self._values(name)
        return median(values) if values else math.nan

    def spread(self, name: str) -> tuple[float, float]:
        """The least and the largest over the runs; NaN where none has it."""
        values = self._values(name)
        return (min(values), max(values)) if values else (math.nan, math.nan)

    def line(self) -> str:
        """The flags of most runs, the worst first."""
        if self.error:
            return f"could not be run: {self.error}"
        named = [flag for flag in ORDER if flag in self.flags]
        return ", ".join(named) or "no property holds in most of its runs"

    @property
    def first(self) -> Fired | None:
        """The detector that fired first in most runs, of the first such run."""
        found = [run.verdict.first for run in self.runs]
        counts = Counter(f.flag for f in found if f is not None)
        if not counts:
            return None
        flag, _ = counts.most_common(1)[0]
        return next(f for f in found if f is not None and f.flag == flag)

    def _most(self, holds: Callable[[RunVerdict], bool]) -> bool:
        return 2 * sum(holds(run.verdict) for run in self.runs) > len(self.runs)

    def _values(self, name: str) -> list[float]:
        return [run.verdict.figures[name] for run in self.runs if name in run.verdict.figures]
