"""`jepa_lab.diagnose --investigate` for a seq-JEPA: which change prevents the failure of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jepa_lab.config.check import check
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis.inquiry import Inquiry
from jepa_lab.diagnosis.rules import examine
from jepa_lab.errors import UserError
from jepa_lab.ledger.command_line import CommandLine, read_command_line
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_json
from jepa_lab.ledger.run_dir import state_of, writing_below
from jepa_lab.report.investigation import content_of, write_report
from jepa_lab.studies.seq_jepa.candidates import candidates, unique
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.study import STUDY
from jepa_lab.training.branching import usable_states
from jepa_lab.training.counterfactual import Counterfactuals, OutOfBudget, onset_of
from jepa_lab.training.typed_changes import taken_back

ANSWERED, UNREPAIRED, INTERRUPTED = 0, 1, 130
LEAST = 3  # draws of every change

Compose = Callable[[Sequence[str], str | None], dict[str, Any] | None]


@dataclass(frozen=True)
class Answer:
    """The result of an investigation: the content of investigation.json, the reports, and the exit
    code."""

    content: dict[str, Any]
    files: list[Path]
    code: int

    def text(self) -> str:
        """Returns the text printed at the end."""
        lines = [f"\n{self.content['answer']}"]
        if self.content["stopped"]:
            lines.append(f"not finished: {self.content['stopped']}; the same command goes on")
        return "\n".join([*lines, "", *(f"written: {file}" for file in self.files)])


def investigate(args: argparse.Namespace, compose: Compose, say: Callable[[str], None]) -> Answer:
    """Pursues the investigation that the options describe, and writes its reports. The same call
    goes on after an end of any kind, since every trial is a run of its own.

    Raises UserError for a run that did not fail, for one without a command line, and for one whose
    settings or data have changed.
    """
    folder = args.path
    line = _require_failed(folder, args)

    def configured(line: CommandLine) -> Config:
        content = compose(line.overrides, line.config_dir)
        if content is None:
            raise UserError(f"{folder}: {line.text()} is not valid, or names user-defined code")
        return check(content, Config)

    status = (read_json(folder / "summary.json").get("verdict") or {}).get("status")
    states = usable_states(folder / "checkpoints")
    runs = Counterfactuals(
        STUDY,
        folder,
        line,
        configured,
        states,
        say,
        str(status),
        max_runs=args.max_runs,
        max_hours=args.max_hours,
    )
    if not runs.is_unchanged():
        raise UserError(
            f"{folder}: its settings or its data are not what they were; its own command, run again"
            " with on_existing=restart, makes a run that can be investigated"
        )
    content = asdict(runs.parent)
    found = examine(history_of(folder), config=content)
    verdict = found.verdict
    least = args.seeds or LEAST
    inquiry = Inquiry(
        onset_of(verdict.status, verdict.since_step) or 1,
        unique([*taken_back(line, configured), *candidates(found.failures, content)]),
        [state.step for state in states],
        least,
        2 * least,
    )
    say(f"{len(inquiry.candidates)} changes, each from {_starts(inquiry)}, {least} draws or more")
    stopped = _drive(inquiry, runs)
    report = content_of(inquiry, folder, verdict.status, verdict.tap, stopped)
    target = args.out or folder
    with writing_below(target):
        target.mkdir(parents=True, exist_ok=True)
        files = write_report(report, target)
    code = INTERRUPTED if runs.stop.signal else ANSWERED if inquiry.best else UNREPAIRED
    return Answer(report, files, code)


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


def _starts(inquiry: Inquiry) -> str:
    return " and ".join(f"step {s}" if s else "the start" for s in inquiry.starts)


def _require_failed(folder: Path, args: argparse.Namespace) -> CommandLine:
    """Returns the command line of a run that ended with a failure. Raises UserError otherwise."""
    if args.epochs is not None:
        raise UserError("--epochs belongs to the investigation of an ARC run")
    line = read_command_line(folder)
    verdict = read_json(folder / "summary.json").get("verdict") or {}
    if state_of(read_json(folder / "status.json")) == "running":
        raise UserError(f"{folder}: the run is still running; wait until it ends")
    if line is None or not verdict.get("status"):
        raise UserError(
            f"{folder}: no run that ended with a verdict, with its overrides.yaml, is here"
        )
    if verdict["status"] not in FAILURES:
        raise UserError(
            f"{folder}: nothing to explain: the verdict is {verdict['status']}, which is no failure"
        )
    return line
