"""Makes the trials of an investigation: runs and branches with one thing changed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jepa_lab.callbacks.state_ring import State
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis.trials import Candidate, Result, Trial
from jepa_lab.errors import UserError
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import finite_values
from jepa_lab.process.stop import StopRequest
from jepa_lab.training.branch_comparison import compare_control
from jepa_lab.training.branching import (
    changed_keys,
    is_hot,
    prepare_branch,
    require_hot,
    seed_of_draw,
)
from jepa_lab.training.run import train
from jepa_lab.training.study import Study

# failures that a run has until it has learned, and what a run is called that may still learn
OF_PREDICTION = ("no_learning", "ignores_actions", "copy_shortcut")
UNDECIDED = ("too_short", "inconclusive")


class OutOfBudget(Exception):
    """A limit on runs or hours is reached, or a stop was requested."""


@dataclass
class Counterfactuals:
    """Makes trials of the run in `folder` and reads their results.

    A trial that ended before is read from its folder. A trial ends early once its failure is
    certain. `compose` turns a command line into a checked configuration. `states` are those from
    which the run can be continued. Raises OutOfBudget at a limit.
    """

    study: Study
    folder: Path
    line: CommandLine
    compose: Callable[[CommandLine], Any]
    states: list[State]
    say: Callable[[str], None]
    status: str  # of the run; a trial that shows it again ends early
    stop: StopRequest = field(default_factory=StopRequest)
    max_runs: int | None = None
    max_hours: float | None = None
    made: int = 0
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.parent = self.compose(self.line)
        self.data = self.study.load(self.parent)
        key = self.study.data_key(self.parent)
        self._fingerprints = {key: self.study.fingerprint(self.data)}

    def is_unchanged(self) -> bool:
        """Returns whether the command line still makes the run in the folder."""
        name: str = self.home_of(self.parent).path.name
        return name == self.folder.name

    def home_of(self, config: Any) -> RunDir:
        """Returns the folder of a configuration's run."""
        key = self.study.data_key(config)
        if key not in self._fingerprints:
            self._fingerprints[key] = self.study.fingerprint(self.study.load(config))
        home: RunDir = self.study.plan(config, self._fingerprints[key]).home
        return home

    def usable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Returns the changes that make another run that can be built. A change is hot if the
        states of the run fit it as well. Says why a change is left out."""
        found = []
        for candidate in candidates:
            try:
                config = self.compose(self.line.changed(candidate.overrides))
                if self.home_of(config).path.name == self.folder.name:
                    continue  # the run has it already, or it has no effect
                hot = candidate.hot and bool(self.states) and self._fits(config)
            except UserError as error:
                self.say(f"not tried: {candidate.name} ({error})")
                continue
            found.append(replace(candidate, hot=hot))
        return found

    def _fits(self, config: Any) -> bool:
        """Whether the states of the run can be continued with a configuration."""
        if not all(is_hot(key) for key in changed_keys(self.parent, config)):
            return False
        before, after = self._shapes, self._shapes_of(config)
        return all(before[name] == after[name] for name in before.keys() & after.keys())

    @cached_property
    def _shapes(self) -> dict[str, Any]:
        return self._shapes_of(self.parent)

    def _shapes_of(self, config: Any) -> dict[str, Any]:
        state = self.study.prepare(config, self.data).module.state_dict()
        return {name: getattr(value, "shape", None) for name, value in state.items()}

    def result(self, trial: Trial) -> Result:
        """Returns the result of a trial, which is made unless it was made before."""
        line = self.line_of(trial)
        config = self.compose(line)
        home = self.home_of(config)
        found = _finished(home)
        if found is None:
            self._require_budget()
            self._make(trial, line, config, home)
            found = _finished(home)
        if found is None:
            raise OutOfBudget(f"stopped during {self.text(trial)}")
        result = _result(found, home, self.status)
        self.say(f"{self.text(trial)}: {_outcome(result, found)}")
        return result

    def line_of(self, trial: Trial) -> CommandLine:
        """Returns the command line of a trial."""
        seed = seed_of_draw(self.parent, trial.draw)
        origin = []
        if trial.start:
            origin = [f"branch.parent='{self.folder.name}'", f"branch.step={trial.start}"]
        return self.line.changed([*trial.candidate.overrides, *seed, *origin])

    def text(self, trial: Trial) -> str:
        """Returns a trial in words."""
        start = f"from step {trial.start}" if trial.start else "from the start"
        return f"{trial.candidate.name}, {start}, draw {trial.draw}"

    def _make(self, trial: Trial, line: CommandLine, config: Any, home: RunDir) -> None:
        self.made += 1
        state = next((s for s in self.states if s.step == trial.start), None)
        if state is not None:
            require_hot(changed_keys(self.parent, config))
            modules = (
                self.study.prepare(self.parent, self.data).module,
                self.study.prepare(config, self.data).module,
            )
            prepare_branch(home, self.folder, state, config, modules)
        stopping = self.compose(line.changed(self.study.of_trials(self.status)))
        with redirect_stdout(io.StringIO()):
            train(self.study, stopping, stop=self.stop, brief=True, command_line=line)
        if state is not None and not trial.candidate.overrides and not trial.draw:
            control = compare_control(self.folder, home.path)
            if control.difference:
                raise UserError(f"{home.path}: {control.line()}; branches of it show nothing")
            self.say(control.line())

    def _require_budget(self) -> None:
        hours = (time.monotonic() - self.started) / 3600
        if self.max_runs is not None and self.made >= self.max_runs:
            raise OutOfBudget(f"--max-runs {self.max_runs} reached")
        if self.max_hours is not None and hours >= self.max_hours:
            raise OutOfBudget(f"--max-hours {self.max_hours:g} reached")
        reason = self.stop.reason()
        if reason is not None:
            raise OutOfBudget(reason)


def _finished(home: RunDir) -> dict[str, Any] | None:
    """Returns the summary of a run that is completed or was ended by its verdict, else None."""
    status = home.status() or {}
    by_verdict = status.get("state") == "failed" and home.summary() is not None
    return home.summary() if status.get("state") == "completed" or by_verdict else None


def _result(summary: dict[str, Any], home: RunDir, of_run: str) -> Result:
    verdict, last = summary["verdict"], finite_values(summary)
    onset = onset_of(verdict["status"], verdict.get("since_step"))
    if of_run in OF_PREDICTION and verdict["status"] in UNDECIDED:
        # it has not learned either, only not clearly enough for a failure
        onset = max((v["max_step"] or 1 for v in summary["metrics"].values()), default=1)
    return Result(onset, last.get("val/skill"), last.get(summary["monitor"]["key"]), str(home.path))


def onset_of(status: str, since: int | None) -> int | None:
    """Returns the step at which a verdict's failure began, None if it is no failure. A failure
    without a date began at the first step."""
    return (since or 1) if status in FAILURES else None


def _outcome(result: Result, summary: dict[str, Any]) -> str:
    status = summary["verdict"]["status"]
    return status if result.onset is None else f"{status} since step {result.onset}"
