"""The linear BYOL toy: train_toy(config) trains one run, or all that a grid lacks as one program."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from jepa_lab.errors import RunStopped, UserError
from jepa_lab.ledger.ending import endings_noted
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import finite_last
from jepa_lab.process.stop import Stop
from jepa_lab.studies.linear_byol.checkpoints import ToyKeeper, load_checkpoint
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.grid import idle_axes
from jepa_lab.studies.linear_byol.module import LinearBYOL
from jepa_lab.studies.linear_byol.monitor import Blocks, ToyRows
from jepa_lab.studies.linear_byol.outcome import THEORY, finish_run, show_outcome
from jepa_lab.studies.linear_byol.plan import ToyPlan, ToyRun, plan_toy
from jepa_lab.studies.linear_byol.table import NAME, write_run
from jepa_lab.training.trainer import quiet


@dataclass
class ToyResult:
    """How a toy's command ended; the fields that a sweep reads are those of `RunResult`. metrics: of the run, or the
    medians over the grid's runs."""

    run_dir: Path
    state: str
    metrics: dict[str, float]
    verdict: dict[str, Any]
    monitored: float | None = None
    resumed: bool = False
    reason: str | None = None
    gates_passed: bool = True
    module: LinearBYOL | None = None


def train_toy(
    config: ToyConfig,
    stop: Stop | None = None,
    opened: Callable[[RunDir], None] | None = None,
    brief: bool = False,
) -> ToyResult:
    """Trains the runs of the configuration that are not finished, together, and draws their figures.

    A killed or stopped command goes on from its last checkpoint, with the same bits; finished runs are kept, whichever
    grid made them. Raises UserError for files that cannot be written and for on_existing=error, RunBusy if another
    process is at it; any other exception leaves status.json in state "failed".
    """
    quiet()
    torch.set_num_threads(1)  # the matrices are small; threads take whole groups of runs
    if config.hardware.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("hardware.accelerator=gpu: no accelerator is visible to torch; use hardware=auto or cpu")
    stop = stop or Stop()
    for line in () if brief else idle_axes(config):
        print(f"jepa_lab: {line}", file=sys.stderr)
    plan = plan_toy(config)
    if opened is not None:
        opened(plan.home)
    plan.decide()
    if not plan.pending:
        return _finished(plan, brief)
    with lock(plan.home.make()), stop.watching():
        plan = plan_toy(config)  # again: another process may have been at it until now
        if not plan.decide():
            return _finished(plan, brief)
        return _watched(plan, stop, brief)


def _watched(plan: ToyPlan, stop: Stop, brief: bool) -> ToyResult:
    """The training with its state kept in the home's status.json, however it ends."""
    home = plan.home
    resumed = False
    try:
        with endings_noted(home, partial(_note, home)):
            found, warning = (None, None)
            if plan.config.on_existing != "restart":
                found, warning = load_checkpoint(home.checkpoints, {run.run_id for run in plan.pending})
            if warning:
                print(f"jepa_lab: {warning}", file=sys.stderr)
            if found is not None:
                runs = {run.run_id: run for run in plan.runs}
                plan.pending = [runs[name] for name in found["ids"]]  # in the order of its tensors, not of today's axes
                resumed = True
            home.create(plan.config_yaml())
            home.write_status("running")
            for run in plan.pending:
                run.dir.summary_path.unlink(
                    missing_ok=True
                )  # of a run made again: from its first flush it is unfinished
            module, rows = _train(plan, stop, found)
            for run, columns in zip(plan.pending, rows.columns(module), strict=True):
                finish_run(run, columns)
            if len(plan.runs) == 1 and plan.config.figures and module.linear and not plan.config.population:
                _write_theory(plan.pending[0])
            return _close(plan, module, resumed, rows.wall_s, brief)
    except RunStopped as stopped:
        home.write_status("stopped", str(stopped))
        print(f"stopped ({stopped}): the same line goes on from here\nrun:     {home.path}", flush=True)
        return ToyResult(home.path, "stopped", {}, {}, resumed=resumed, reason=str(stopped))


def _train(plan: ToyPlan, stop: Stop, found: dict[str, Any] | None) -> tuple[LinearBYOL, ToyRows]:
    config = plan.config
    module = LinearBYOL([run.config for run in plan.pending], threads=config.hardware.threads or 1)
    rows = ToyRows(config.log_every, config.epochs)
    if found is not None:
        module.load_state_dict(found["state"])
        rows.load(found["rows"])

    def flush() -> None:
        for run, columns in zip(plan.pending, rows.columns(module), strict=True):
            write_run(run.dir.make().path / NAME, columns, run.settings(), "running")

    ids = [run.run_id for run in plan.pending]
    keeper = ToyKeeper(plan.home.checkpoints / "last.ckpt", ids, rows, flush, stop, config.max_wall_s,
                       config.save_every_s, config.epochs)  # fmt: skip
    gpu = config.hardware.accelerator != "cpu" and torch.cuda.is_available()
    trainer = pl.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        callbacks=[rows, keeper],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=plan.home.path,
    )
    left = Blocks(int(module.step) + 1, config.epochs, config.log_every)
    if len(left) and bool(module.active.any()):
        trainer.fit(module, left)
    keeper.save(module)
    return module, rows


def _write_theory(run: ToyRun) -> None:
    """The deterministic recursion of the same run, an infinite batch in place of samples, beside its table."""
    module = LinearBYOL([dataclasses.replace(run.config, population=True)])
    rows = ToyRows(run.config.log_every, run.config.epochs)
    for block in Blocks(1, run.config.epochs, run.config.log_every):
        module.training_step(block)
        rows.take(module, block.last)
    settings = {**run.settings(), "population": True}
    write_run(run.dir.path / THEORY, rows.columns(module)[0], settings, "completed")


def _close(plan: ToyPlan, module: LinearBYOL, resumed: bool, wall_s: float, brief: bool) -> ToyResult:
    """The outcome of all the configuration's runs, those that were finished before included."""
    summary = show_outcome(plan, wall_s, brief)
    plan.home.write_status("completed")
    last = finite_last(summary)
    return ToyResult(plan.home.path, "completed", last, summary["verdict"], last.get("val/readout_r2"), resumed,
                     module=module)  # fmt: skip


def _finished(plan: ToyPlan, brief: bool) -> ToyResult:
    """All runs are finished: nothing is computed, the outcome of a grid is drawn again if it was not."""
    summary = plan.home.summary()
    if summary is None or (plan.home.status() or {}).get("state") != "completed":  # killed while it was drawn
        with lock(plan.home.make()):
            plan.home.create(plan.config_yaml())
            summary = show_outcome(plan, 0.0, brief=True)
            plan.home.write_status("completed")
    last = finite_last(summary)
    many = f"all {len(plan.runs)} runs " if len(plan.runs) > 1 else ""
    print(f"{many}finished before, nothing to do: {plan.home.path}\nverdict: {summary['verdict']['line']}", flush=True)
    return ToyResult(plan.home.path, "skipped", last, summary["verdict"], last.get("val/readout_r2"))


def _note(home: RunDir, state: str, reason: str) -> None:
    with suppress(OSError):
        home.write_status(state, reason)
