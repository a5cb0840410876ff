"""The state of an investigation: questions, results and conclusions, without training or files."""

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
    """A request for the runs of one step. `overrides` are all its changes to the base."""

    name: str
    code: str
    asks: str
    overrides: Overrides


Asking = Generator[Intervention, Result, Result | None]


@dataclass(frozen=True)
class Entry:
    """A line of the trail: a question, its answer, and the steps whose runs are the evidence."""

    code: str
    question: str
    answer: str
    steps: tuple[str, ...] = ()
    skipped: bool = False


@dataclass
class Investigation:
    """The knowledge of an investigation so far.

    - base, outset: the configuration and the result of the failing run.
    - results: by step name. trail: the questions and answers in order. notes: further remarks.
    - scenario: '' (unknown), healthy, codebook (A in the plan), losses (B in the plan), data, or
      seed (the run fails with few seeds only).
    - cause: description of the cause.
    - refresh: '' (not tested), alone, amplifies, innocent or unknown.
    - guilty: auxiliary losses that cause the failure. losses_asked: whether they were tested.
    - context: the aggregation that repairs the run. contexts_asked: whether any was tested.
    - repair: the step that repairs the run. fallback: a stable step that leaves something out.
    - pending: steps of the branch that were not reached yet. stopped: reason of an early end.
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
        """Requests the runs of a step whose changes are added to `over`, and returns the result.

        The result is None if the step does not apply or cannot be run. If an earlier step (or the
        base) had the same overrides, its result is returned without a run.
        """
        if step.name in self.pending:
            self.pending.remove(step.name)
        why = step.blocked(self.base)
        if why:
            self.record(step.code, step.asks, f"not asked: {why}", skipped=True)
            return None
        overrides = differences(self.base, {**(over or {}), **step.change(self.base)})
        same = next((name for name, r in self.results.items() if r.overrides == overrides), None)
        if same is not None:
            what = "the failing run has it already" if same == BASE else f"the same as {same}"
            self.record(
                step.code,
                step.asks,
                f"no run: {what} ({self.results[same].line()})",
                same,
                skipped=True,
            )
            return self.results[same]
        result = yield Intervention(step.name, step.code, step.asks, overrides)
        self.results[step.name] = result
        self.record(step.code, step.asks, f"{brief(overrides)}: {result.line()}", step.name)
        return None if result.error else result

    def record(
        self, code: str, question: str, answer: str, *steps: str, skipped: bool = False
    ) -> None:
        """Adds a line to the trail."""
        self.trail.append(Entry(code, question, answer, steps, skipped))

    @property
    def answered(self) -> bool:
        """Whether there is an answer: a repair, nothing to repair, or a verdict on the data."""
        return self.repair is not None or self.scenario in ("healthy", "data")
