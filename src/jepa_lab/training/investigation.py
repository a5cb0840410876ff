"""The investigation of a failed run of any study: which change prevents the failure."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jepa_lab.config.check import check
from jepa_lab.config.run_config import RunConfig
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis import Examination
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.inquiry import Inquiry
from jepa_lab.diagnosis.trials import Candidate
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import temporary_beside
from jepa_lab.ledger.command_line import CommandLine, read_command_line
from jepa_lab.ledger.read import read_json
from jepa_lab.ledger.run_dir import state_of, writing_below
from jepa_lab.report.fan_figure import HistoryOf
from jepa_lab.report.investigation import content_of, write_report
from jepa_lab.training.candidates import unique
from jepa_lab.training.counterfactual import Counterfactuals, OutOfBudget, onset_of
from jepa_lab.training.replay import onset_to_the_step
from jepa_lab.training.study import Study
from jepa_lab.training.trained_study import TrainedStudy
from jepa_lab.training.typed_changes import taken_back

ANSWERED, UNREPAIRED, INTERRUPTED = 0, 1, 130
LEAST = 3  # draws of every change

Compose = Callable[[Sequence[str], str | None], dict[str, Any] | None]
# the findings of a failed run and its configuration -> the changes to try, the likeliest first
CandidatesOf = Callable[[Sequence[Finding], Mapping[str, Any]], list[Candidate]]


@dataclass(frozen=True)
class Subject:
    """What can be investigated: a study, the class of its configurations, the changes that could
    prevent a failure of its runs, and the reader of their metrics."""

    study: Study
    config: type[RunConfig]
    candidates: CandidatesOf
    history: HistoryOf


@dataclass(frozen=True)
class Answer:
    """The result of an investigation: the content of investigation.json, the reports, and the exit
    code."""

    content: dict[str, Any]
    files: Sequence[Path]
    code: int

    def text(self) -> str:
        """Returns the text printed at the end."""
        lines = [f"\n{self.content['answer']}"]
        if self.content.get("stopped"):
            lines.append(f"not finished: {self.content['stopped']}; the same command goes on")
        if self.files:
            lines += ["", *(f"written: {file}" for file in self.files)]
        return "\n".join(lines)


def investigate(
    subject: Subject, args: argparse.Namespace, compose: Compose, say: Callable[[str], None]
) -> Answer:
    """Pursues the investigation that the options describe, and writes its reports. The same call
    goes on after an end of any kind, since every trial is a run of its own.

    A run that did not fail has nothing to explain, and nothing is made or written. Raises UserError
    for a run without a verdict or a command line, and for one whose settings or data have changed.
    """
    folder = args.path
    status = _status(folder)
    if status not in FAILURES:
        text = f"nothing to explain: the verdict is {status}, which is no failure"
        return Answer({"run": str(folder), "status": status, "answer": text}, (), 0)
    runs = _runs(subject, args, compose, say, status)
    target = args.out or folder
    require_writable(target)
    found = subject.study.examination(folder, runs.parent)
    inquiry = _inquiry(subject, runs, found, args.seeds or LEAST)
    verdict = found.verdict
    exact = _dated(subject.study, runs, verdict)
    if exact is not None:
        say(f"onset: step {exact}, with a validation after every step")
    starts = " and ".join(f"step {step}" if step else "the start" for step in inquiry.starts)
    say(f"{len(inquiry.candidates)} changes, each from {starts}, {inquiry.least} draws or more")
    stopped = _drive(inquiry, runs)
    curves = subject.study.curves(verdict.tap)
    report = content_of(inquiry, folder, verdict.status, verdict.tap, stopped, curves, exact)
    with writing_below(target):
        files = write_report(report, target, subject.history)
    code = INTERRUPTED if runs.stop.signal else ANSWERED if inquiry.best else UNREPAIRED
    return Answer(report, files, code)


def _runs(
    subject: Subject,
    args: argparse.Namespace,
    compose: Compose,
    say: Callable[[str], None],
    status: str,
) -> Counterfactuals:
    """Returns the maker of the trials. Raises UserError for a run that its command line no longer
    makes."""
    folder: Path = args.path
    line = read_command_line(folder) or subject.study.line_of(folder)
    if line is None:
        raise UserError(
            f"{folder}: no overrides.yaml, so that it is not known which command made it"
        )

    def configured(line: CommandLine) -> Any:
        content = compose(line.overrides, line.config_dir)
        if content is None:
            raise UserError(f"{folder}: {line.text()} is not valid, or names user-defined code")
        return check(content, subject.config)

    states = subject.study.states(folder)
    limits = {"max_runs": args.max_runs, "max_hours": args.max_hours}
    runs = Counterfactuals(subject.study, folder, line, configured, states, say, status, **limits)
    if not runs.is_unchanged():
        raise UserError(
            f"{folder}: its settings or its data are not what they were; its own command, run again"
            " with on_existing=restart, makes a run that can be investigated"
        )
    return runs


def _inquiry(subject: Subject, runs: Counterfactuals, found: Examination, least: int) -> Inquiry:
    """Returns the open questions: first every typed setting taken back, then the changes that the
    study names for the findings."""
    typed = read_command_line(runs.folder)
    changes = taken_back(typed, runs.compose) if typed else []
    named = subject.candidates(found.failures, asdict(runs.parent))
    return Inquiry(
        onset_of(found.verdict.status, found.verdict.since_step) or 1,
        runs.usable(unique([*changes, *named])),
        [state.step for state in runs.states],
        least,
        2 * least,
    )


def _dated(study: Study, runs: Counterfactuals, verdict: Verdict) -> int | None:
    """Returns the step of the onset, None if it is only known between two validations."""
    if not isinstance(study, TrainedStudy):
        return None
    return onset_to_the_step(study, runs.folder, runs.parent, runs.data, runs.states, verdict)


def _drive(inquiry: Inquiry, runs: Counterfactuals) -> str:
    """Makes the trials that the inquiry asks for. Returns the reason for an early end, or ""."""
    asking = inquiry.pursue()
    try:
        with runs.stop.watching():
            trial = next(asking)
            while True:
                trial = asking.send(runs.result(trial))
    except StopIteration:
        return ""
    except OutOfBudget as error:
        return str(error)


def require_writable(target: Path) -> None:
    """Makes the folder of the reports. Raises UserError if nothing can be written there, before
    the first trial is made."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(target / "investigation")
        probe.touch(exist_ok=False)  # never follows a link
        probe.unlink()
    except OSError as error:
        raise UserError(f"{target}: cannot write there ({error.strerror or error})") from None


def _status(folder: Path) -> str:
    """Returns the status of an ended run's verdict. Raises UserError for a run without one."""
    verdict = read_json(folder / "summary.json").get("verdict") or {}
    if state_of(read_json(folder / "status.json")) == "running":
        raise UserError(f"{folder}: the run is still running; wait until it ends")
    if not verdict.get("status"):
        raise UserError(f"{folder}: no run that ended with a verdict is here")
    return str(verdict["status"])
