"""The investigation of a failing run, from its folder to the three reports."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.config.trust import NOBODY, Trust, require_plain
from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import temporary_beside, write_atomic, write_json
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.read import finite_or_null, read_json, read_yaml
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.process.stop import StopRequest
from jepa_lab.studies.arc.investigation.decision_tree import decide
from jepa_lab.studies.arc.investigation.overrides import overridden
from jepa_lab.studies.arc.investigation.recommended import Compose, recommended
from jepa_lab.studies.arc.investigation.repeats import Result
from jepa_lab.studies.arc.investigation.report_data import content_of
from jepa_lab.studies.arc.investigation.report_page import page
from jepa_lab.studies.arc.investigation.report_text import markdown
from jepa_lab.studies.arc.investigation.runs import (
    InvestigationRuns,
    Limits,
    OutOfBudget,
    Start,
    ordinary_run,
)
from jepa_lab.studies.arc.investigation.state import Intervention, Investigation

ANSWERED, UNREPAIRED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Outcome:
    """The result of an investigation. `content` is the content of investigation.json, `files` are
    the three reports, and `code` is the exit code."""

    content: dict[str, Any]
    files: tuple[Path, ...]
    code: int

    def text(self) -> str:
        """Returns the text printed at the end."""
        content = self.content
        lines = [f"\n{content['answer']}\n"]
        lines += [f"{q['question']} {q['answer']}: {q['why']}" for q in content["questions"]]
        if content["recommended"]:
            lines.append(f"\nrecommended:\n  {content['recommended']['command']}")
        if content["not_reached"]:
            lines.append(
                f"\nnot reached: {', '.join(content['not_reached'])} ({content['stopped']})"
            )
        return "\n".join([*lines, "", *(f"written: {file}" for file in self.files)])


def investigate(args: argparse.Namespace, compose: Compose, say: Callable[[str], None]) -> Outcome:
    """Runs the investigation that the options of `jepa_lab.diagnose --investigate` describe."""
    trust = Trust(bool(args.trust), args.config_dir)
    limits = Limits(args.max_runs, args.max_hours, args.seeds or 1, args.epochs)
    return investigate_run(args.path, limits, args.out, say=say, compose=compose, trust=trust)


def investigate_run(
    folder: Path,
    limits: Limits | None = None,
    out: Path | None = None,
    start: Start = ordinary_run,
    say: Callable[[str], None] = print,
    compose: Compose = lambda overrides, config_dir: None,
    *,
    trust: Trust = NOBODY,
) -> Outcome:
    """Investigates a failing run and writes the reports into `out`, by default the run's folder.

    The investigation ends at the first repair, at a limit, or at a signal. The same call resumes it
    and reuses every finished run. `start` makes one run and `say` prints progress. `compose` turns
    overrides into a configuration and checks the recommended command. `trust` says which of the
    user-defined parts that the configuration names may be imported. Raises UserError for any other
    part, for a folder that is not a run of the ARC study, for a run that is still running, and for
    data that cannot be used.
    """
    limits, stop = limits or Limits(), StopRequest()
    folder = folder.resolve()
    given = investigable(folder)
    require_plain(given, folder / "config.yaml", trust)
    own = read_command_line(folder)
    runs = InvestigationRuns(_in_budget(given, limits.epochs), folder, limits, stop, start, say)
    target = (out or folder).resolve()
    _require_writable(target)
    try:
        investigation = Investigation(runs.base, runs.outset())
    except OutOfBudget as error:
        raise UserError(
            f"{error}: the failing run itself must be run again first; the same command resumes it"
        ) from None
    if investigation.outset.error:
        raise UserError(f"the failing run could not be run again: {investigation.outset.error}")
    _require_complete(folder, investigation.outset)
    _drive(investigation, runs)
    advice = recommended(investigation, given, own, compose)
    content: dict[str, Any] = finite_or_null(
        content_of(investigation, folder, limits.seeds, limits.epochs, advice)
    )
    files = tuple(target / f"investigation.{kind}" for kind in ("md", "html", "json"))
    try:
        write_atomic(files[0], markdown(content))
        write_atomic(files[1], page(content, runs.histories))
        write_json(files[2], content)
    except OSError as error:
        raise UserError(f"--out {target}: cannot write there ({error.strerror or error})") from None
    code = INTERRUPTED if stop.signal else ANSWERED if investigation.answered else UNREPAIRED
    return Outcome(content, files, code)


def investigable(folder: Path) -> dict[str, Any]:
    """Returns the configuration of a run that can be investigated. Raises UserError otherwise."""
    if not folder.is_dir():
        raise UserError(f"{folder}: --investigate needs the folder of a run")
    config = read_yaml(folder / "config.yaml")
    if not config:
        raise UserError(f"{folder}: no config.yaml that can be read; give the folder of a run")
    name = str(config.get("name"))
    if Path(name).name != name:  # the runs of the investigation are kept in NAME_<step> beside it
        raise UserError(f"{folder / 'config.yaml'}: name={name}: not the name of a folder")
    if not (folder / "metrics.parquet").is_file():
        raise UserError(f"{folder}: no metrics.parquet: the run cannot be judged without it")
    if state_of(read_json(folder / "status.json")) == "running":
        raise UserError(f"{folder}: the run is still running; wait until it ends")
    return config


def _require_complete(folder: Path, outset: Result) -> None:
    """Raises UserError for a run that was stopped or killed before it showed any failure."""
    for run in outset.runs:
        wrong = {f.flag for f in run.verdict.fired if f.quantity != "state"}
        if (
            run.path == folder
            and run.state in ("stopped", "killed")
            and not wrong - {"CLAMPED", "WEAK"}
        ):
            raise UserError(
                f"{folder}: the run was {run.state} before it showed a failure; its own command"
                " resumes it"
            )


def _require_writable(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True)
        probe = temporary_beside(target / "investigation")
        probe.touch(exist_ok=False)  # never follows a link
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out {target}: cannot write there ({error.strerror or error})") from None


def _in_budget(given: dict[str, Any], epochs: int | None) -> dict[str, Any]:
    """Returns the configuration with `epochs` epochs.

    Values that were derived from the former number become None, so that they are derived again.
    """
    if epochs is None or value_of(given, "dataset.epochs") == epochs:
        return given
    derived = {"dataset.epochs": epochs}
    for key, source in (
        ("target.tau", "target.memory"),
        ("monitor.every_epochs", "monitor.every_epochs"),
    ):
        if value_of(given, source) is not None:
            derived[key] = None  # type: ignore[assignment]
    return overridden(given, derived)


def _drive(investigation: Investigation, runs: InvestigationRuns) -> None:
    """Makes the runs that the decision procedure requests, until it ends or a limit is reached."""
    steps = decide(investigation)
    trial: Intervention | None = None
    try:
        trial = next(steps)
        while True:
            trial = steps.send(runs.of(trial))
    except StopIteration:
        return
    except (OutOfBudget, KeyboardInterrupt) as error:
        investigation.stopped = str(error) or "interrupted"
        if isinstance(error, KeyboardInterrupt):
            runs.stop.signal = "SIGINT"
        if trial is not None:
            investigation.pending.insert(0, trial.name)
