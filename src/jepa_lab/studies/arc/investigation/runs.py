"""The runs of an investigation: ordinary runs in folders beside the failing run, which are reused,
resumed or started."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from jepa_lab.config.check import check
from jepa_lab.config.tree import value_of
from jepa_lab.errors import RunBusy, UserError
from jepa_lab.ledger.parquet import History, history_of
from jepa_lab.ledger.read import read_json, read_yaml
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.process.stop import StopRequest
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.investigation.overrides import brief, overridden
from jepa_lab.studies.arc.investigation.repeats import Ran, Result
from jepa_lab.studies.arc.investigation.run_verdict import run_verdict
from jepa_lab.studies.arc.investigation.state import BASE, Intervention
from jepa_lab.studies.arc.study import STUDY
from jepa_lab.training.run import train


class OutOfBudget(Exception):
    """No further run may be started, or the current run was stopped, for the reason in the text.
    Finished work is kept."""


class FailedBefore(Exception):
    """The run failed by itself earlier. It is evidence and is not repeated."""


@dataclass(frozen=True)
class Ended:
    """The end of a run: its folder, its state with the reason, and whether it had been finished
    before."""

    path: Path
    state: str
    reason: str | None = None
    reused: bool = False


@dataclass(frozen=True)
class Limits:
    """Limits of one command.

    `max_runs` is the number of runs to make, not counting those already finished. `max_hours` is
    the wall time. `seeds` is the number of runs of each step. `epochs` is the length of each run,
    None for that of the failing run.
    """

    max_runs: int | None = None
    max_hours: float | None = None
    seeds: int = 1
    epochs: int | None = None


# (configuration, stop, may_train) -> Ended. may_train() raises OutOfBudget before a run is started.
Start = Callable[[dict[str, Any], StopRequest, Callable[[], None]], Ended]


def ordinary_run(config: dict[str, Any], stop: StopRequest, may_train: Callable[[], None]) -> Ended:
    """Checks the configuration and trains it as `python -m jepa_lab` does, with output on stderr.

    A finished run is reused and an unfinished run is resumed. A run that failed by itself (a value
    that is not finite, a verdict) is not repeated. Raises UserError for a configuration or data
    that cannot be used.
    """
    checked = check(OmegaConf.create(config), ArcConfig)
    runs: list[Any] = []

    def opened(run: Any) -> None:
        runs.append(run)
        complete = run.summary() is not None
        if run.state() == "failed" and complete:
            raise FailedBefore
        if not (run.state() == "completed" and complete):
            may_train()

    try:
        with contextlib.redirect_stdout(sys.stderr):
            result = train(STUDY, checked, stop, opened, brief=True)
    except FailedBefore:
        (run,) = runs
        return Ended(run.path, "failed", (run.status() or {}).get("reason"), reused=True)
    return Ended(result.run_dir, result.state, result.reason, result.state == "skipped")


@dataclass
class InvestigationRuns:
    """Makes the runs that the decision procedure requests.

    `base` is the configuration that the overrides of a step change. `folder` is that of the failing
    run. `say` prints progress, one line before and one after each step. `made` counts started runs.
    """

    base: Mapping[str, Any]
    folder: Path
    limits: Limits
    stop: StopRequest = field(default_factory=StopRequest)
    start: Start = ordinary_run
    say: Callable[[str], None] = print
    made: int = 0
    histories: dict[Path, History] = field(default_factory=dict)

    def of(self, trial: Intervention) -> Result:
        """Returns the result of a step with all its seeds.

        Raises OutOfBudget if a limit or a signal ends it. Raises UserError if another process is
        training the run, and if the very first step cannot be run.
        """
        self.say(f"{trial.code:>3} {trial.name}: {trial.asks} ({brief(trial.overrides)})")
        begun, runs = time.monotonic(), []
        try:
            for seed in self._seeds():
                runs.append(self._one(trial, seed))
        except (OutOfBudget, RunBusy):
            raise
        except UserError as error:
            if trial.code in ("E0", "E1"):
                raise
            result = Result(trial.name, trial.overrides, tuple(runs), str(error))
        except Exception as error:
            logging.getLogger("jepa_lab").exception("the run of step %s failed", trial.name)
            result = Result(
                trial.name, trial.overrides, tuple(runs), f"{type(error).__name__}: {error}"
            )
        else:
            result = Result(trial.name, trial.overrides, tuple(runs))
        reused = ", already finished" if runs and all(run.reused for run in runs) else ""
        where = f" [{runs[0].path}{reused}; {time.monotonic() - begun:.0f} s]" if runs else ""
        self.say(f"    -> {result.line()}{where}")
        return result

    def outset(self) -> Result:
        """Returns the result of the failing run. With another budget or several seeds, its
        configuration is run again as step base."""
        own = self._judged(
            self.folder, _state(self.folder), int(self.base.get("seed") or 0), reused=True
        )
        short = self.limits.epochs not in (
            None,
            value_of(read_yaml(self.folder / "config.yaml"), "dataset.epochs"),
        )
        if not short and self.limits.seeds == 1:
            return Result(BASE, {}, (own,))
        again = Intervention(BASE, "E0", "does it fail in this budget, whatever its seed?", {})
        if short:
            return self.of(again)
        self.say(f" E0 {BASE}: {again.asks}")
        others = [self._one(again, seed) for seed in self._seeds()[1:]]
        result = Result(BASE, {}, (own, *others))
        self.say(f"    -> {result.line()}")
        return result

    def _seeds(self) -> list[int]:
        first = int(self.base.get("seed") or 0)
        return [first + i for i in range(self.limits.seeds)]

    def _one(self, trial: Intervention, seed: int) -> Ran:
        config = overridden(self.base, trial.overrides)
        name, parent = str(self.base.get("name")), self.folder.parent
        config |= {
            "name": f"{name}_{trial.name}",
            "runs_dir": str(parent.parent if parent.name == name else parent),
            "seed": seed,
            "on_existing": "resume",
            "max_wall_s": None if self.limits.max_hours is None else 3600 * self.limits.max_hours,
            # a run that the preflight refuses would give no result
            "preflight": "off" if config.get("preflight") == "off" else "warn",
        }
        ended = self.start(config, self.stop, self._may_train)
        if ended.state == "stopped":
            raise OutOfBudget(f"step {trial.name} was stopped: {self._as_option(ended.reason)}")
        return self._judged(ended.path, ended.state, seed, ended.reused)

    def _may_train(self) -> None:
        hours, runs = self.limits.max_hours, self.limits.max_runs
        reason = self.stop.reason(None if hours is None else 3600 * hours)
        if reason:
            raise OutOfBudget(self._as_option(reason))
        if runs is not None and self.made >= runs:
            raise OutOfBudget(f"--max-runs {runs} reached")
        self.made += 1

    def _as_option(self, reason: str | None) -> str:
        """Replaces the key max_wall_s by the option --max-hours in a reason."""
        hours = self.limits.max_hours
        limit = f"--max-hours {hours:g} reached" if hours is not None else ""
        return limit if limit and str(reason).startswith("max_wall_s") else str(reason)

    def _judged(self, path: Path, state: str, seed: int, reused: bool) -> Ran:
        logged = (path / "metrics.parquet").is_file()
        self.histories[path] = history_of(path) if logged else {}
        verdict = run_verdict(self.histories[path], state, config=read_yaml(path / "config.yaml"))
        return Ran(path, seed, state, verdict, reused)


def _state(folder: Path) -> str:
    status = read_json(folder / "status.json")
    # metrics without a status are judged as those of a completed run
    return state_of(status) if status else "completed"
