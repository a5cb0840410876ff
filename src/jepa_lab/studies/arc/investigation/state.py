"""The state of an investigation: what was asked, what came back, and what it stands on. No
training, no files."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.studies.arc.investigation.overrides import Overrides, brief, differences
from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.steps import Step

BASE = "base"


@dataclass(frozen=True)
class Intervention:
    """A request for the runs of one step: the whole overlay over the base."""

    name: str
    code: str
    asks: str
    overrides: Overrides


Asking = Generator[Intervention, Result, Result | None]


@dataclass(frozen=True)
class Entry:
    """A line of the trail: a question, its answer, and the steps whose runs it stands on."""

    code: str
    question: str
    answer: str
    steps: tuple[str, ...] = ()
    skipped: bool = False


@dataclass
class Investigation:
    """What is known so far.

    scenario: '' (not known), healthy, codebook (the plan's A), losses (its B), data, or seed (it
    fails with few) cause: what is guilty, in words
    refresh: '' (not asked), alone, amplifies, innocent or unknown
    guilty: the auxiliary losses; context: the aggregation that repaired repair: the step whose runs
    are good; fallback: one that is stable but lacks something pending: steps of the branch that
    were not asked yet; stopped: why it ended early
    """

    base: Mapping[str, Any]
    outset: Result
    thresholds: Thresholds = field(default_factory=Thresholds)
    results: dict[str, Result] = field(default_factory=dict)
    trail: list[Entry] = field(default_factory=list)
    scenario: str = ""
    cause: str = ""
    refresh: str = ""
    guilty: list[str] = field(default_factory=list)
    losses_asked: bool = False
    context: str = ""
    contexts_asked: bool = False
    repair: Result | None = None
    fallback: Result | None = None
    notes: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    stopped: str = ""

    def __post_init__(self) -> None:
        self.results.setdefault(BASE, self.outset)

    def ask(self, step: Step, over: Mapping[str, Any] | None = None) -> Asking:
        """Asks for the runs of a step laid over `over`; None where it cannot be asked or run, the
        result of an earlier step (the base among them) where it would change nothing else."""
        if step.name in self.pending:
            self.pending.remove(step.name)
        why = step.blocked(self.base)
        if why:
            self.tell(step.code, step.asks, f"not asked: {why}", skipped=True)
            return None
        overrides = differences(self.base, {**(over or {}), **step.change(self.base)})
        same = next((name for name, r in self.results.items() if r.overrides == overrides), None)
        if same is not None:
            what = "this run has it already" if same == BASE else f"the same as {same}"
            self.tell(
                step.code,
                step.asks,
                f"no run: {what} ({self.results[same].line()})",
                same,
                skipped=True,
            )
            return self.results[same]
        result = yield Intervention(step.name, step.code, step.asks, overrides)
        self.results[step.name] = result
        self.tell(step.code, step.asks, f"{brief(overrides)}: {result.line()}", step.name)
        return None if result.error else result

    def tell(
        self, code: str, question: str, answer: str, *steps: str, skipped: bool = False
    ) -> None:
        """Adds a line to the trail."""
        self.trail.append(Entry(code, question, answer, steps, skipped))

    @property
    def answered(self) -> bool:
        """Whether it came to an answer: a repair, nothing to repair, or a verdict on the data."""
        return self.repair is not None or self.scenario in ("healthy", "data")
