"""train(config) -> RunResult: the one place where a run is put together, watched, and brought to its verdict."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from jepa_lab.callbacks import Gates
from jepa_lab.callbacks.checkpoints import Saver, usable_checkpoint
from jepa_lab.diagnosis import judge
from jepa_lab.diagnosis.gates import GateResult, evaluate_gates, gates_dict, gates_line
from jepa_lab.errors import NonFinite, RunStopped, StoppedByVerdict, UserError
from jepa_lab.ledger.ending import endings_noted
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.parquet import ParquetLedger, last_values
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import finite_last, write_summary
from jepa_lab.process.stop import Stop
from jepa_lab.report.table import print_table, table_rows
from jepa_lab.studies import study_of
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training.frame import Budget, target_tau
from jepa_lab.training.plan import Data, build_data, decide, fingerprint, run_of
from jepa_lab.training.record import count_parameters, measured_cost, resolved_yaml
from jepa_lab.training.study import Parts, Session
from jepa_lab.training.trainer import build_trainer, close_loggers, log_figures, quiet


@dataclass
class RunResult:
    """How a run ended. state: completed, failed, stopped, or skipped (it was finished before); resumed: it went on
    from a checkpoint; metrics: the last value of every key; monitored: the metric that chooses checkpoints; gates: what
    the last epoch was measured against."""

    run_dir: Path
    state: str
    metrics: dict[str, float]
    verdict: dict[str, Any]
    monitored: float | None = None
    module: Any = field(default=None, repr=False)  # the LightningModule, of a run that was trained here
    resumed: bool = False
    reason: str | None = None
    gates: list[GateResult] = field(default_factory=list)

    @property
    def gates_passed(self) -> bool:
        """Whether no gate failed."""
        return all(gate.passed for gate in self.gates)


def train(
    config: Config | ArcConfig,
    stop: Stop | None = None,
    opened: Callable[[RunDir], None] | None = None,
    brief: bool = False,
) -> RunResult:
    """Runs one configuration to its end, or goes on with it, or reports it if it is finished (`brief`: in one line).

    `stop` says when to stop early; `opened` is told the run's folder before anything else happens there. Raises
    UserError for data that cannot be used and for files that cannot be written, RunBusy if another process is at the
    run; any other exception leaves status.json in state "failed", an interruption in state "stopped".
    """
    quiet()
    torch.set_num_threads(config.hardware.threads or 1)
    if config.hardware.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("hardware.accelerator=gpu: no accelerator is visible to torch; use hardware=auto or cpu")
    data = build_data(config)
    run = run_of(config, fingerprint(data))
    if opened is not None:
        opened(run)
    if decide(run, config.on_existing) == "skip":
        return finished(run, config, brief)
    parts = prepare(config, data)
    checked = _preflight(config, data, parts)
    stop = stop or Stop()
    with lock(run.make()), stop.watching():
        action = decide(run, config.on_existing)  # again: another process may have been at it until now
        if action == "skip":
            return finished(run, config, brief)
        if action == "restart":
            run.clear()
        checkpoint = _checkpoint(run) if action == "resume" else None
        return _watched(Session(config, data, parts, run, stop, checkpoint, checked))


def prepare(config: Config | ArcConfig, data: Data) -> Parts:
    """Seeds every random stream, then builds. Raises UserError for sizes that do not fit or a missing extra."""
    if config.logger.name == "tensorboard" and find_spec("tensorboard") is None:
        raise UserError("logger=tensorboard: the package is not installed; pip install 'jepa-lab[tensorboard]'")
    return study_of(config).prepare(config, data)


def finished(run: RunDir, config: Config | ArcConfig, brief: bool = False) -> RunResult:
    """The result of a completed run, from its summary; nothing is computed again, but measured against the gates of
    this configuration. `brief`: without the table."""
    summary = run.summary()
    assert summary is not None
    last = finite_last(summary)
    verdict, gates = summary["verdict"], evaluate_gates(config.gates.limits(), last)
    if not brief:
        print_table(table_rows(summary))
    print(
        f"\nfinished before, nothing to do: {run.path}\nverdict: {verdict.get('line', verdict.get('status'))}\n"
        f"gates:   {gates_line(gates)}",
        flush=True,
    )
    return RunResult(run.path, "skipped", last, verdict, last.get(summary["monitor"]["key"]), gates=gates)


def _preflight(config: Config | ArcConfig, data: Data, parts: Parts) -> dict[str, Any] | None:
    """The preflight of the network as initialised, of a run that goes on too: it is the same again. UserError under
    preflight=strict if a check failed."""
    if config.preflight == "off":
        return None
    found = study_of(config).preflight(config, data, parts)
    if config.preflight == "strict":
        found.require()
    for line in found.failures:
        print(f"preflight: {line}", file=sys.stderr)
    return found.to_dict(config.preflight)


def _checkpoint(run: RunDir) -> Path:
    path, warning = usable_checkpoint(run.checkpoints, run.run_id)
    if warning:
        print(f"jepa_lab: {run.path}: {warning}", file=sys.stderr)
    return path


def _watched(session: Session) -> RunResult:
    """The session with its state kept in status.json, however it ends."""
    run = session.run
    ledger = ParquetLedger.load(run.metrics_path) if session.checkpoint else ParquetLedger(run.metrics_path)
    run.create(
        resolved_yaml(
            session.config, study_of(session.config).best_key(session.config, session.data), session.parts.budget
        )
    )
    log = logging.FileHandler(run.path / "run.log", delay=True)
    logging.getLogger("jepa_lab").addHandler(log)
    failed = True
    try:
        with endings_noted(run, partial(_close_if_possible, run, ledger)):
            run.write_status("running")
            for name in ("evaluation.json", "decoded.json"):  # of an earlier step
                (run.path / name).unlink(missing_ok=True)
            result = _train(session, ledger)
        failed = result.state == "failed"
        return result
    except RunStopped as stopped:
        _close_if_possible(run, ledger, "stopped", str(stopped))
        print(f"stopped ({stopped}): the same line goes on from here\nrun:     {run.path}", flush=True)
        last = last_values(ledger.history())
        resumed = session.checkpoint is not None
        return RunResult(run.path, "stopped", last, {}, resumed=resumed, reason=str(stopped))
    finally:
        close_loggers(failed)
        logging.getLogger("jepa_lab").removeHandler(log)
        log.close()


def _train(session: Session, ledger: ParquetLedger) -> RunResult:
    config, data, run, checkpoint = session.config, session.data, session.run, session.checkpoint
    loaders, budget, module = session.parts.loaders, session.parts.budget, session.parts.module
    study = study_of(config)
    callbacks = study.callbacks(session, ledger)
    trainer = build_trainer(config, budget, run, ledger, callbacks)
    remark = study.remark(data, session.parts)
    if remark and checkpoint is None:
        print(remark, file=sys.stderr)
    failure: NonFinite | StoppedByVerdict | None = None
    if checkpoint is None:
        _evaluate(trainer, module, loaders["val"], "reference")
    module.eval_prefix = "val"
    try:
        trainer.fit(
            module, loaders["train"], loaders["val"], ckpt_path=checkpoint, weights_only=True if checkpoint else None
        )
    except (NonFinite, StoppedByVerdict) as error:
        failure = error
    else:
        _evaluate(trainer, module, loaders["test"], "test")
    wall = next(c.wall_s for c in callbacks if isinstance(c, Saver))
    history, cost = ledger.history(), measured_cost(callbacks)
    verdict = judge(history, config=asdict(config))
    key, gates = study.best_key(config, data), next(c.results for c in callbacks if isinstance(c, Gates))
    ledger.fold()
    write_summary(
        run,
        history,
        verdict.to_dict(),
        monitor={"key": key, "seconds": cost, "share": cost / max(wall, 1e-9)},
        parameters=count_parameters(module),
        wall_s=wall,
        extra={"protocol": study.protocol(config, data), "tau": _tau(config, budget), "gates": gates_dict(gates)}
        | ({"preflight": session.preflight} if session.preflight else {}),
    )
    study.show_outcome(session, history, verdict, gates, callbacks)
    if isinstance(failure, StoppedByVerdict):
        print(f"stopped: {failure}; the same line without it goes on from here", flush=True)
    log_figures(trainer.loggers, run.figures)
    last = last_values(history)
    state, resumed = "failed" if failure else "completed", checkpoint is not None
    reason = str(failure) if failure else None
    bad = {"term": failure.term, "step": failure.step} if isinstance(failure, NonFinite) else None
    _close(run, ledger, state, reason, bad)
    return RunResult(run.path, state, last, verdict.to_dict(), last.get(key), module, resumed, reason, gates)


def _evaluate(trainer: pl.Trainer, module: Any, loader: Any, prefix: str) -> None:
    module.eval_prefix = prefix
    trainer.validate(module, loader, verbose=False)


def _tau(config: Config | ArcConfig, budget: Budget) -> float | None:
    return target_tau(config, budget.steps) if config.target.name == "ema" else None


def _close(
    run: RunDir, ledger: ParquetLedger, state: str, reason: str | None, first_bad: dict[str, Any] | None = None
) -> None:
    ledger.fold()
    run.write_status(state, reason, first_bad)


def _close_if_possible(run: RunDir, ledger: ParquetLedger, state: str, reason: str) -> None:
    with suppress(OSError):
        ledger.flush(force=True)
        ledger.fold()
    with suppress(OSError):
        run.write_status(state, reason)
