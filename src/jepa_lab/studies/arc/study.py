"""The study of the ARC JEPA: tasks of grids, a codebook, and what becomes of both."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult
from jepa_lab.ledger.parquet import History, ParquetLedger
from jepa_lab.studies.arc import build as build_arc
from jepa_lab.studies.arc.build import require_arc_measurable
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.task import TaskSplits
from jepa_lab.studies.arc.outcome import show_arc_outcome
from jepa_lab.training.frame import build_budget
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.study import Parts, Session


def prepare(config: ArcConfig, tasks: TaskSplits) -> Parts:
    """UserError for tasks that do not make the problem, and sizes that do not fit."""
    require_arc_measurable(config)
    pl.seed_everything(config.seed, verbose=False)
    tokeniser = build_arc.build_tokeniser(config.dataset)
    loaders: dict[str, Any] = {**build_arc.build_loaders(config, tasks, tokeniser)}
    build_arc.require_tokens(config, loaders["train"])
    budget = build_budget(config, len(loaders["train"]))
    module = build_arc.build_module(config, tokeniser, len(loaders["train"].examples.roles), budget.steps)
    build_arc.begin_codebook(module, loaders["train"])
    return Parts(loaders, budget, module)


def preflight(config: ArcConfig, tasks: TaskSplits, parts: Parts) -> Preflight:
    """Of a batch of examples through the network as initialised."""
    from jepa_lab.studies.arc.preflight import run_arc_preflight

    return run_arc_preflight(config, parts)


def callbacks(session: Session, ledger: ParquetLedger) -> list[Any]:
    """In the order they act."""
    return build_arc.build_callbacks(session.config, session.parts.budget, session.run, ledger, session.stop)


def best_key(config: ArcConfig, tasks: TaskSplits) -> str:
    """The skill on validation tasks, unless the configuration names another metric."""
    return build_arc.best_key(config)


def protocol(config: ArcConfig, tasks: TaskSplits) -> dict[str, Any]:
    """Tasks, checkpoint and seed."""
    return {
        "train_tasks": len(tasks.train),
        "val_tasks": len(tasks.val),
        "test_tasks": len(tasks.test),
        "split": "by task: no task is in two splits",
        "checkpoint": "last",
        "seed": config.seed,
    }


def remark(tasks: TaskSplits, parts: Parts) -> str | None:
    """What of the tasks is no example."""
    return "; ".join(filter(None, (loader.examples.note for loader in parts.loaders.values()))) or None


def show_outcome(
    session: Session, history: History, verdict: Verdict, gates: list[GateResult], callbacks: list[Any]
) -> None:
    """Figures, page, table and verdict, with pictures of the examples."""
    show_arc_outcome(session.run, session.config, history, verdict, gates, session.parts.loaders["val"])
