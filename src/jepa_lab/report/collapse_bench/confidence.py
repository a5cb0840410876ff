"""Whether the confidence of the verdict means frequency, and whether its step is the right one."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jepa_lab.diagnosis import Verdict
from jepa_lab.report.collapse_bench.rules import FAILED, UNSURE, answer_of
from jepa_lab.report.collapse_bench.runs import BenchRun

BINS = (0.0, 0.5, 0.7, 0.9, 0.99, 1.0)
Verdicts = Mapping[str, Verdict]


@dataclass(frozen=True)
class Bin:
    """The verdicts whose confidence lies in [low, high), or in [low, 1] in the last bin: their
    number, how many were right, and their mean confidence."""

    low: float
    high: float
    n: int
    right: int
    mean: float


@dataclass(frozen=True)
class Onsets:
    """The step of the verdict against the oracle's on failed runs that validate every 10 steps.

    `lost` runs have a step of the oracle. `dated` of them have one of the verdict, too; `errors`
    are the differences, verdict less oracle, and `within` counts those of at most one validation.
    """

    lost: int
    dated: int
    errors: tuple[int, ...]
    within: int

    @property
    def median(self) -> float | None:
        """The median absolute error in steps, or None without a dated run."""
        return statistics.median(map(abs, self.errors)) if self.errors else None


def weighed(runs: Iterable[BenchRun], verdicts: Verdicts) -> list[tuple[float, bool]]:
    """Returns (confidence, right) of the verdicts that say good or failed on labelled runs."""
    found = []
    for run in runs:
        verdict = verdicts[run.name]
        answer = answer_of(verdict.status)
        if run.label != "undecided" and answer != UNSURE:
            found.append((verdict.confidence, (answer == FAILED) == (run.label == "failed")))
    return found


def brier(known: Sequence[tuple[float, bool]]) -> float | None:
    """Returns the mean squared difference of confidence and being right (0 is best), or None
    without verdicts."""
    return statistics.mean((c - right) ** 2 for c, right in known) if known else None


def reliability(known: Sequence[tuple[float, bool]]) -> list[Bin]:
    """Returns the bins of BINS that hold verdicts."""
    found = []
    for low, high in pairwise(BINS):
        inside = [(c, r) for c, r in known if low <= c < high or (high == 1.0 and c >= 1.0)]
        if inside:
            mean = statistics.mean(c for c, _ in inside)
            found.append(Bin(low, high, len(inside), sum(r for _, r in inside), mean))
    return found


def onsets(runs: Iterable[BenchRun], verdicts: Verdicts) -> Onsets:
    """Returns how far the verdict's step lies from the oracle's."""
    lost, errors, within = 0, [], 0
    for run in runs:
        if not run.onset or run.lost_at is None:
            continue
        lost += 1
        since = verdicts[run.name].since_step
        if since is not None and answer_of(verdicts[run.name].status) == FAILED:
            errors.append(since - run.lost_at)
            within += abs(errors[-1]) <= interval(run)
    return Onsets(lost, len(errors), tuple(errors), within)


def interval(run: BenchRun) -> int:
    """Returns the steps between two validations of z, 0 with fewer than two."""
    steps = [step for step, _ in run.history.get("val/z/effective_rank", ())]
    return steps[1] - steps[0] if len(steps) > 1 else 0
