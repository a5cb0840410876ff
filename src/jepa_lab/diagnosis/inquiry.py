"""The procedure of an investigation, as pure logic: it asks for trials and is sent their results.

A failure is explained by the changes that prevent it. Each is tried before the onset, from the
same state as the run, and from the start. A change that never helps is left after a few draws of
data and views. One that does gets twice as many or more. If no single change prevents the failure,
pairs are tried. If one does only from the start, the latest state from which it still helps is
found by bisection.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

from jepa_lab.diagnosis.trials import (
    CLEAR,
    CONTROL,
    Candidate,
    Result,
    Trial,
    Trials,
    cheapest,
    clear,
    effect,
)

Asking = Generator[Trial, Result, None]


@dataclass
class Inquiry:
    """The question and, while it is pursued, the answers.

    `onset` is the step at which the run failed, `states` are the steps from which it can be
    continued. `candidates` come with the likeliest first. A change is tried with `least` draws, and
    with `most` if it prevented the failure in any of them, and with `least` more if that is not yet
    clear. `trials` holds all results by (change,
    start). `point` is the latest step from which `saved_by` still prevents the failure, None if it
    was not needed or not found.
    """

    onset: int
    candidates: Sequence[Candidate]
    states: Sequence[int] = ()
    least: int = 3
    most: int = 6
    trials: dict[tuple[str, int], Trials] = field(default_factory=dict)
    point: int | None = None
    saved_by: Candidate | None = None
    finished: bool = False

    @property
    def before(self) -> int:
        """The newest state before the onset, 0 for the start."""
        return max((step for step in self.states if step < self.onset), default=0)

    @property
    def starts(self) -> list[int]:
        """The steps from which every change is tried."""
        return sorted({self.before, 0}, reverse=True)

    def pursue(self) -> Asking:
        """Yields the trials to make, one after another, and is sent their results."""
        for start in self.starts:
            yield from self._try(CONTROL, start)
        if not self.explained_by_chance:
            for start in self.starts:
                for candidate in self.candidates:
                    if candidate.hot or not start:
                        yield from self._try(candidate, start)
            if not self.repairs(0) and not self.repairs(self.before):
                yield from self._pairs()
            yield from self._point_of_no_return()
        self.finished = True

    def of(self, candidate: Candidate, start: int) -> Trials:
        """Returns the results of a change from a start, empty if it was not tried."""
        return self.trials.get((candidate.name, start), Trials(candidate, start, self.onset))

    def effect(self, candidate: Candidate, start: int) -> str:
        """Returns what a change does from a start: prevented, delayed, sometimes, unaffected or not
        tried."""
        return effect(self.of(candidate, start), self.of(CONTROL, start), self.level)

    @property
    def level(self) -> float:
        """The largest probability of chance at which a change counts as a repair: 5 % for all
        changes together (Bonferroni), or that of the clearest result of `most` draws."""
        clearest = 1 / comb(2 * self.most, self.most)
        return min(CLEAR, max(CLEAR / max(len(self.candidates), 1), clearest + 1e-9))

    def repairs(self, start: int) -> list[Trials]:
        """Returns the results of the changes that prevent the failure from a start."""
        tried = [t for (_, s), t in self.trials.items() if s == start and t.candidate.overrides]
        return [t for t in tried if self.effect(t.candidate, start) == "prevented"]

    @property
    def explained_by_chance(self) -> bool:
        """Whether most unchanged runs from the start do not fail: the draw decides, and no setting
        can be blamed."""
        control = self.of(CONTROL, 0)
        return bool(control.results) and control.share[0] > 0.5

    @property
    def best(self) -> Trials | None:
        """The cheapest repair: before the onset if there is one, else from the start."""
        return cheapest(self.repairs(self.before)) or cheapest(self.repairs(0))

    def _try(self, candidate: Candidate, start: int) -> Asking:
        trials = self.trials.setdefault(
            (candidate.name, start), Trials(candidate, start, self.onset)
        )
        while not clear(trials, self.least, self.most):
            yield from self._draw(trials)
        if candidate.overrides and trials.prevented:
            yield from self._draw_both(trials, self.most)
            if trials.share[0] > 0.5 and self.effect(candidate, start) != "prevented":
                yield from self._draw_both(trials, self.most + self.least)

    def _draw_both(self, trials: Trials, number: int) -> Asking:
        """Fills up the draws of a change and of the unchanged run from the same start."""
        for tried in (trials, self.of(CONTROL, trials.start)):
            while len(tried.results) < number:
                yield from self._draw(tried)

    def _draw(self, trials: Trials) -> Asking:
        draw = len(trials.results)
        trials.results[draw] = yield Trial(trials.candidate, draw, trials.start)

    def _pairs(self) -> Asking:
        """Tries pairs from the start, those first whose parts had some effect, up to the first that
        prevents the failure."""
        ranks = {"sometimes": 0, "delayed": 1}
        order = sorted(
            combinations(self.candidates, 2),
            key=lambda pair: sum(ranks.get(self.effect(one, 0), 2) for one in pair),
        )
        for one, other in order:
            if _same_key(one, other):
                continue
            pair = one.with_other(other)
            yield from self._try(pair, 0)
            if self.effect(pair, 0) == "prevented":
                if self.before and pair.hot:
                    yield from self._try(pair, self.before)
                return

    def _point_of_no_return(self) -> Asking:
        """Finds the latest state from which a cure from the start still helps, if it no longer does
        just before the onset."""
        cure = cheapest([repair for repair in self.repairs(0) if repair.candidate.hot])
        if cure is None or not self.before or self.repairs(self.before):
            return
        steps = [0, *(step for step in sorted(self.states) if step <= self.before)]
        saved, lost = 0, len(steps) - 1
        while lost - saved > 1:
            middle = (saved + lost) // 2
            yield from self._try(CONTROL, steps[middle])
            yield from self._try(cure.candidate, steps[middle])
            if self.effect(cure.candidate, steps[middle]) == "prevented":
                saved = middle
            else:
                lost = middle
        self.point, self.saved_by = steps[saved], cure.candidate


def _same_key(one: Candidate, other: Candidate) -> bool:
    keys = [{o.partition("=")[0].partition(".")[0] for o in c.overrides} for c in (one, other)]
    exact = [{o.partition("=")[0] for o in c.overrides} for c in (one, other)]
    return bool(exact[0] & exact[1]) or (keys[0] == keys[1] == {"target"})
