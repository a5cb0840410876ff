"""The study of the linear BYOL toy: trains a single run, or all unfinished runs of a grid in one
process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jepa_lab.callbacks.stopping import StopOnRequest
from jepa_lab.config.run_config import RunConfig
from jepa_lab.diagnosis import Examination, Verdict
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.read import read_yaml
from jepa_lab.ledger.summary import require_summarised
from jepa_lab.report.diagnosis import Composes
from jepa_lab.studies.linear_byol import outcome
from jepa_lab.studies.linear_byol.checkpoints import ToyProgress, ToySaver, load_checkpoint
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.examination import examination_of
from jepa_lab.studies.linear_byol.module import LinearBYOL
from jepa_lab.studies.linear_byol.monitor import Blocks, ToyRows
from jepa_lab.studies.linear_byol.resume import ToyPlan, ToyPlanner, ToyRun
from jepa_lab.studies.linear_byol.table import NAME, THEORY, history_of, write_run
from jepa_lab.training.one_process import OneProcessTrainer
from jepa_lab.training.study import Fit, Session, Study


class ToyStudy(ToyPlanner, Study):
    """Trains a population of runs. Finished runs are kept, whichever grid they belong to, and the
    others are trained together."""

    def threads(self, config: RunConfig) -> int:
        """Returns 1: the matrices are small, and each thread trains whole groups of runs."""
        return 1

    def prepare(self, config: ToyConfig, data: None) -> None:
        """Only logs the axes that a single value replaces. The population is built later, when the
        runs to train are known."""
        self.try_build(config, data)

    def checkpoint(self, session: Session) -> dict[str, Any] | None:
        plan = session.plan
        return load_checkpoint(plan.home.checkpoints, {run.run_id for run in plan.pending})

    def config_yaml(self, session: Session) -> str:
        return session.plan.config_yaml()

    def fit(self, session: Session) -> Fit:
        plan = session.plan
        assert isinstance(plan, ToyPlan)
        if session.checkpoint is not None:
            runs = {run.run_id: run for run in plan.runs}
            # in the order of the checkpoint's tensors
            plan.pending = [runs[name] for name in session.checkpoint["ids"]]
        for run in plan.pending:  # a run that is trained again is unfinished until its end
            run.dir.summary_path.unlink(missing_ok=True)
        module, rows = _train(session, plan)
        for run, columns in zip(plan.pending, rows.columns(module), strict=True):
            outcome.finish_run(run, columns)
        if (
            len(plan.runs) == 1
            and plan.config.figures
            and module.linear
            and not plan.config.population
        ):
            _write_theory(plan.pending[0])
        return Fit({}, rows.wall_s, module)

    def judge(self, session: Session, fit: Fit) -> Verdict:
        return outcome.verdict_of(session.plan)

    def summarise(self, session: Session, fit: Fit, verdict: Verdict) -> dict[str, Any]:
        return outcome.write_grid_summary(session.plan, fit.wall_s)

    def lost_metrics(self, session: Session, fit: Fit, summary: dict[str, Any]) -> None:
        """Returns None: `finish_run` checks every run. A grid whose runs all diverged has no
        medians."""

    def show_outcome(
        self, session: Session, fit: Fit, verdict: Verdict, summary: dict[str, Any]
    ) -> None:
        outcome.show_outcome(session.plan, summary, session.brief, session.composes)

    def draw(self, folder: Path, composes: Composes) -> Path:
        return outcome.draw(folder, composes)

    def line_of(self, folder: Path) -> CommandLine | None:
        """Returns the command line of one run of a grid, from its settings."""
        settings = read_yaml(folder / "config.yaml")
        keys = {f.name for f in dataclasses.fields(ToyConfig)} - {"study", "name"}
        if settings.get("lr_enc_mode") != "logspace":
            keys.discard("lr_enc")  # follows from the mode
        place = [f"name={folder.parent.name}", f"runs_dir={folder.parent.parent}"]
        known = [
            f"{key}={json.dumps(value)}"
            for key, value in settings.items()
            if key in keys and value is not None
        ]
        return CommandLine(("+experiment=linear_byol", *place, *known))

    def examination(self, folder: Path, config: ToyConfig) -> Examination:
        return examination_of(folder)

    def curves(self, tap: str | None) -> Sequence[str]:
        return ("val/erank_encoded", "val/excess_loss")

    def of_trials(self, status: str) -> list[str]:
        return ["figures=false"]

    def require_metrics(self, plan: ToyPlan) -> None:
        for run in plan.runs:
            summary = run.dir.summary()
            assert summary is not None
            require_summarised(run.dir.path / NAME, partial(history_of, run.dir.path), summary)

    def show_finished(self, plan: ToyPlan, brief: bool) -> dict[str, Any]:
        home, summary = plan.home, plan.home.summary()
        # the process was killed while it drew the figures
        if summary is None or (home.status() or {}).get("state") != "completed":
            with lock(home.make()):
                home.create(plan.config_yaml())
                summary = outcome.write_grid_summary(plan, 0.0)
                outcome.show_outcome(plan, summary, brief=True)
                home.write_status("completed")
        many = f"all {len(plan.runs)} runs " if len(plan.runs) > 1 else ""
        line = summary["verdict"]["line"]
        print(f"{many}finished before, nothing to do: {home.path}\nverdict: {line}", flush=True)
        return summary


def _train(session: Session, plan: ToyPlan) -> tuple[LinearBYOL, ToyRows]:
    config, found = plan.config, session.checkpoint
    module = LinearBYOL([run.config for run in plan.pending], threads=config.hardware.threads or 1)
    rows = ToyRows(config.log_every, config.epochs)
    if found is not None:
        module.load_state_dict(found["state"])
        rows.load(found["rows"])
        found.clear()  # else the session holds all rows a second time

    def flush() -> None:
        for run, columns in zip(plan.pending, rows.columns(module), strict=True):
            write_run(run.dir.make().path / NAME, columns, run.settings, "running")

    ids = [run.run_id for run in plan.pending]
    saver = ToySaver(plan.home.checkpoints, ids, rows, flush, config.save_every_s, config.epochs)
    gpu = config.hardware.accelerator != "cpu" and torch.cuda.is_available()
    trainer = OneProcessTrainer(
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        callbacks=[
            rows,
            saver,
            ToyProgress(rows, config.epochs),
            StopOnRequest(session.stop, config.max_wall_s, saver),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=plan.home.path,
    )
    left = Blocks(int(module.step) + 1, config.epochs, config.log_every)
    if len(left) and bool(module.active.any()):
        trainer.fit(module, left)
    saver.write_checkpoint(module)  # `fit` writes the tables next
    return module, rows


def _write_theory(run: ToyRun) -> None:
    """Writes the table of the deterministic recursion beside the run's table: the same run with an
    infinite batch instead of samples."""
    module = LinearBYOL([dataclasses.replace(run.config, population=True)])
    rows = ToyRows(run.config.log_every, run.config.epochs)
    for block in Blocks(1, run.config.epochs, run.config.log_every):
        module.training_step(block)
        rows.take(module, block.last)
    settings = {**run.settings, "population": True}
    columns: dict[str, np.ndarray] = rows.columns(module)[0]
    write_run(run.dir.path / THEORY, columns, settings, "completed")


STUDY = ToyStudy()
