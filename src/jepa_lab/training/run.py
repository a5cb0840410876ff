"""train(study, config): the common flow of all studies that builds a run, trains it and judges
it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jepa_lab.config.run_config import RunConfig
from jepa_lab.diagnosis.gates import GateResult, evaluate_gates
from jepa_lab.errors import NonFinite, RunStopped, StoppedByVerdict, UserError, say
from jepa_lab.ledger.command_line import CommandLine, write_command_line
from jepa_lab.ledger.ending import record_exit_status
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.log_file import log_file
from jepa_lab.ledger.parquet import ParquetLedger, last_values
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import finite_values
from jepa_lab.process.stop import StopRequest
from jepa_lab.report.diagnosis import Composes
from jepa_lab.training.following import follow_run
from jepa_lab.training.place import Place, place_of
from jepa_lab.training.resume import RunPlan
from jepa_lab.training.study import Session, Study, unchecked
from jepa_lab.training.together import Others, Word
from jepa_lab.training.trainer import prepare_process

# results of other commands, which are outdated once the run is trained further
OF_AN_EARLIER_STEP = ("evaluation.json", "decoded.json")


@dataclass
class RunResult:
    """The result of a run.

    - `state` is completed, failed, stopped, or skipped (it was finished before).
    - `resumed` is true if the run was resumed from a checkpoint.
    - `metrics` maps every key to its last value.
    - `monitored` is the last value of the metric that chooses checkpoints.
    - `gates` are the gates of the run, evaluated on its last values.
    - `module` is the LightningModule of a run that was trained here.
    """

    run_dir: Path
    state: str
    metrics: dict[str, float]
    verdict: dict[str, Any]
    monitored: float | None = None
    module: Any = field(default=None, repr=False)
    resumed: bool = False
    reason: str | None = None
    gates: list[GateResult] = field(default_factory=list)

    @property
    def gates_passed(self) -> bool:
        """Whether no gate failed."""
        return all(gate.passed for gate in self.gates)


def train(
    study: Study,
    config: RunConfig,
    stop: StopRequest | None = None,
    opened: Callable[[RunDir], None] | None = None,
    brief: bool = False,
    command_line: CommandLine | None = None,
    composes: Composes = unchecked,
) -> RunResult:
    """Runs one configuration to its end, or resumes it. A finished run is only reported (with
    `brief` in one line).

    `stop` decides whether the run stops early. `opened` is called with the run's folder before
    anything else happens there. `command_line` is kept in the run's folder. The page suggests
    command lines that `composes` accepts. Raises UserError for data that cannot be used and for
    files that cannot be written. Raises RunBusy if another process is working on the run. Any other
    exception leaves status.json in state "failed", an interruption in state "stopped".
    """
    place = place_of(config)
    prepare_process(config, study.threads(config), place)
    if not place.first:
        return RunResult(*follow_run(study, config, place, stop), {}, {})
    data = study.load(config)
    plan = study.plan(config, study.fingerprint(data))
    if opened is not None:
        opened(plan.home)
    with Others(place) as others:
        if plan.decide() == "skip":
            return _finished(study, plan, brief)
        others.start(partial(follow_run, study, config))
        parts = study.prepare(config, data)
        stop = stop or StopRequest()
        session = Session(plan, data, parts, stop, brief=brief, place=place, composes=composes)
        session.preflight = _preflight(study, session)
        with lock(plan.home.make()), session.stop.watching():
            action = plan.decide()  # again, since another process may have held the lock until now
            if action == "skip":
                return _finished(study, plan, brief)
            if action == "restart":
                if config.on_existing != "restart":
                    before = "completed without metrics before, so it is trained again"
                    say(f"{plan.home.path}: {before}")
                plan.home.clear()
            if action == "new":
                require_no_branch(config)
            if action == "resume":
                session.checkpoint = study.checkpoint(session)
                _say_other_number(session)
            return _watched(study, session, command_line, others)


def require_no_branch(config: RunConfig) -> None:
    """Raises UserError for a branch whose folder has no state to continue from."""
    branch = getattr(config, "branch", None)
    parent, step = (None, None) if branch is None else (branch.parent, branch.step)
    if parent is not None:
        raise UserError(
            f"branch.parent={parent} branch.step={step}: a branch is begun by jepa-lab branch,"
            " which copies the state that it continues"
        )


def _finished(study: Study, plan: RunPlan, brief: bool) -> RunResult:
    """Returns the result of a finished run from its summary. The gates are those of this
    configuration. Raises UserError if the metrics of the run are lost."""
    study.require_metrics(plan)
    summary = study.show_finished(plan, brief)
    last = finite_values(summary)
    limits = plan.config.gates.limits() if hasattr(plan.config, "gates") else {}
    gates = evaluate_gates(limits, last)
    return RunResult(
        plan.home.path,
        "skipped",
        last,
        summary["verdict"],
        last.get(summary["monitor"]["key"]),
        gates=gates,
    )


def _preflight(study: Study, session: Session) -> dict[str, Any] | None:
    """Returns the preflight of the network as initialised, also for a resumed run.

    Raises UserError for preflight=strict if a check failed.
    """
    mode = getattr(session.config, "preflight", "off")
    checks = None if mode == "off" else study.preflight(session.config, session.data, session.parts)
    if checks is None:
        return None
    if mode == "strict":
        checks.require()
    for line in checks.failures:
        print(f"preflight: {line}", file=sys.stderr)
    return checks.to_dict(mode)


def _watched(
    study: Study, session: Session, command_line: CommandLine | None, others: Others
) -> RunResult:
    """Runs the session and keeps its state in status.json, however it ends."""
    run, resumed = session.run, session.checkpoint is not None
    others.lost = partial(_close_if_possible, session, "failed")
    session.ledger = study.open_ledger(session)
    run.create(study.config_yaml(session))
    with log_file(run):
        try:
            with record_exit_status(run, partial(_close_if_possible, session)):
                run.write_status("running")
                if command_line is not None:
                    write_command_line(run.path, command_line)
                for name in OF_AN_EARLIER_STEP:
                    (run.path / name).unlink(missing_ok=True)
                with study.open_loggers(session) as loggers:
                    session.loggers = loggers
                    with others.reporting():
                        return _run(study, session, resumed, others)
        except RunStopped as stopped:
            _close_if_possible(session, "stopped", str(stopped))
            print(
                f"stopped ({stopped}): the same command resumes it\nrun:     {run.path}", flush=True
            )
            last = {} if session.ledger is None else last_values(session.ledger.history())
            return RunResult(run.path, "stopped", last, {}, resumed=resumed, reason=str(stopped))


def _run(study: Study, session: Session, resumed: bool, others: Others) -> RunResult:
    _meet(session, others)
    fit = study.fit(session)
    others.release()
    verdict = study.judge(session, fit)
    summary = study.summarise(session, fit, verdict)
    study.show_outcome(session, fit, verdict, summary)
    if isinstance(fit.failure, StoppedByVerdict):
        print(
            f"stopped: {fit.failure}; the same command without diagnosis.stop_on resumes the run",
            flush=True,
        )
    lost = None if fit.failure else study.lost_metrics(session, fit, summary)
    if lost:
        say(lost)
    session.loggers.log_figures(session.run.figures)
    reason = str(fit.failure) if fit.failure else lost
    state = "completed" if reason is None else "failed"
    bad = (
        {"term": fit.failure.term, "step": fit.failure.step}
        if isinstance(fit.failure, NonFinite)
        else None
    )
    if session.ledger is not None:
        session.ledger.fold()
    session.run.write_status(state, reason, bad)
    if state == "completed":
        study.keep(session, verdict)
    session.loggers.failed = state == "failed"
    last = last_values(fit.history) if fit.history else finite_values(summary)
    return RunResult(
        session.run.path,
        state,
        last,
        summary["verdict"],
        last.get(summary["monitor"]["key"]),
        fit.module,
        resumed,
        reason,
        fit.gates,
    )


def _meet(session: Session, others: Others) -> None:
    """Brings the processes of the run together."""
    if session.place.world == 1:
        return
    found = session.checkpoint
    if found is not None and not found.whole:  # only the results are rebuilt
        session.place = Place()
        others.dismiss()
    else:
        others.meet(Word(session.run, found))


def _say_other_number(session: Session) -> None:
    """Prints a line if the run was trained by another number of processes before."""
    now, before = session.place.world, getattr(session.checkpoint, "saver", {}).get("processes", 1)
    if now != before:
        say(
            f"{session.run.path}: trained by {now} process{'es' * (now > 1)} from here, by {before}"
            " before: the same samples in every step, other rounding"
        )


def _close_if_possible(session: Session, state: str, reason: str) -> None:
    """Writes the rows in memory, then the state. Ignores a disk that cannot be written."""
    ledger: ParquetLedger | None = session.ledger
    if ledger is not None:
        with suppress(OSError):
            ledger.flush(force=True)
            ledger.fold()
    with suppress(OSError):
        session.run.write_status(state, reason)
