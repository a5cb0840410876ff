"""Trials of an investigation: what is changed, from when on, what came of it, and what several
draws say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from scipy.stats import beta, fisher_exact

LEVEL = 0.95  # of every interval
# largest probability of a difference that chance alone makes: that of 3 of 3 against 0 of 3
CLEAR = 0.05 + 1e-9
LATER = 0.2  # share of the time to the onset by which a delayed failure is later


@dataclass(frozen=True)
class Candidate:
    """A change of the settings that could prevent a failure. No overrides are the control. `why` is
    the evidence that speaks for it, in words. A change that is not `hot` can only be made from the
    start."""

    overrides: tuple[str, ...] = ()
    why: str = ""
    hot: bool = True

    @property
    def name(self) -> str:
        """The overrides as typed."""
        return " ".join(self.overrides) or "unchanged"

    def with_other(self, other: Candidate) -> Candidate:
        """Returns both changes together."""
        overrides, why = (*self.overrides, *other.overrides), "; ".join([self.why, other.why])
        return Candidate(overrides, why, self.hot and other.hot)


CONTROL = Candidate()


@dataclass(frozen=True)
class Trial:
    """A run to make: a change, the number of the draw of data and views, and the step from which it
    continues the run (0: from the start)."""

    candidate: Candidate
    draw: int
    start: int


@dataclass(frozen=True)
class Result:
    """The end of a trial. `onset` is the step at which it failed, None if it did not. `skill` and
    `probe` are its last values, None if they were not measured."""

    onset: int | None
    skill: float | None = None
    probe: float | None = None
    run: str = ""


@dataclass
class Trials:
    """All results of one change from one start, by draw. `onset` is that of the run in question."""

    candidate: Candidate
    start: int
    onset: int
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def prevented(self) -> int:
        """The number of trials that did not fail."""
        return sum(result.onset is None for result in self.results.values())

    @property
    def share(self) -> tuple[float, float, float]:
        """The share of trials that did not fail, with the bounds of its interval (Jeffreys)."""
        n, k = len(self.results), self.prevented
        low, high = beta.interval(LEVEL, k + 0.5, n - k + 0.5)
        return (k / n if n else 0.0, float(low) if k else 0.0, float(high) if k < n else 1.0)

    @property
    def delay(self) -> int | None:
        """The median number of steps by which the failures are later, None without failures."""
        return round(median(self.onsets)) - self.onset if self.onsets else None

    @property
    def onsets(self) -> list[int]:
        """The steps at which trials failed."""
        return [r.onset for r in self.results.values() if r.onset is not None]

    def delayed(self, control: Trials) -> bool:
        """Whether the failures that remain are clearly later: by a fifth of the time to the onset,
        and all after those of the control."""
        time = max(self.onset - self.start, 1)
        if self.delay is None or self.delay < max(LATER * time, 1):
            return False
        return min(self.onsets) > max(control.onsets, default=self.onset)

    def mean(self, name: str) -> float | None:
        """Returns the mean skill or probe of the trials that did not fail, None without values."""
        values = [getattr(r, name) for r in self.results.values() if r.onset is None]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None


def chance(trials: Trials, control: Trials) -> float:
    """Returns the probability that as many trials are without a failure, or more, if the change has
    no effect (Fisher's exact test against the control, one-sided)."""
    table = [
        [trials.prevented, len(trials.results) - trials.prevented],
        [control.prevented, len(control.results) - control.prevented],
    ]
    return float(fisher_exact(table, alternative="greater").pvalue)


def effect(trials: Trials, control: Trials, level: float = CLEAR) -> str:
    """Returns prevented, delayed, sometimes or unaffected. `sometimes` is a share above that of the
    control that chance may have made: with a probability above `level`."""
    if not trials.results:
        return "not tried"
    if chance(trials, control) <= level and trials.share[0] > 0.5:
        return "prevented"
    if trials.delayed(control):
        return "delayed"
    return "sometimes" if trials.share[0] > control.share[0] else "unaffected"


def clear(trials: Trials, least: int, most: int) -> bool:
    """Returns whether no further draw is needed: the first `least` agree, or there are `most`."""
    n = len(trials.results)
    return n >= most or (n >= least and trials.prevented in (0, n))


def cheapest(found: Sequence[Trials], tolerance: float = 0.05) -> Trials | None:
    """Returns the repair with the fewest overrides among those that keep the best skill and probe
    up to `tolerance`, None without a repair. Ties go to the better probe."""
    best = {n: max((v for t in found if (v := t.mean(n)) is not None), default=None) for n in NAMES}

    def keeps(trials: Trials) -> bool:
        return all(
            top is None or (value := trials.mean(name)) is None or value >= top - tolerance
            for name, top in best.items()
        )

    ordered = sorted(
        found, key=lambda t: (not keeps(t), len(t.candidate.overrides), -(t.mean("probe") or 0.0))
    )
    return ordered[0] if ordered else None


NAMES = ("skill", "probe")
