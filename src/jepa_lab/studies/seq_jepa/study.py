"""The study of seq-JEPA: sequences of views of an image."""

from __future__ import annotations

import sys
from typing import Any

import pytorch_lightning as pl

from jepa_lab.data.images.image_source import Splits
from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult
from jepa_lab.ledger.parquet import History, ParquetLedger
from jepa_lab.studies.seq_jepa import build, outcome
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation.loading import rollout_views
from jepa_lab.studies.seq_jepa.factor_sweeps import FactorSweeps
from jepa_lab.studies.seq_jepa.measurable import require_measurable
from jepa_lab.studies.seq_jepa.preflight import run_preflight
from jepa_lab.studies.seq_jepa.rollouts import Rollouts
from jepa_lab.training import record
from jepa_lab.training.frame import build_budget
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.study import Parts, Session


def prepare(config: Config, splits: Splits) -> Parts:
    """UserError for sizes that do not fit, and for a metric that will not be measured."""
    group = build.build_views(config, splits.train)
    require_measurable(config, splits.train.n_classes, group)
    pl.seed_everything(config.seed, verbose=False)
    loaders: dict[str, Any] = {**build.build_loaders(config, splits)}
    budget = build_budget(config, len(loaders["train"]))
    module = build.build_module(config, group, splits.train, budget.steps)
    return Parts(loaders, budget, module)


def preflight(config: Config, splits: Splits, parts: Parts) -> Preflight:
    """Of a few images through the network as initialised."""
    return run_preflight(config, splits, parts.module, parts.budget)


def callbacks(session: Session, ledger: ParquetLedger) -> list[Any]:
    """In the order they act."""
    s = session
    others = build.build_callbacks(s.config, s.parts.budget, s.run, ledger, s.data.val, s.stop)
    return [*_rollouts(s), *others]


def _rollouts(session: Session) -> list[Any]:
    """What looks further ahead after training; says why, where that is not as far as was asked for."""
    config, wanted = session.config, session.config.monitor.rollout_steps
    group, why = rollout_views(config, session.data, session.parts.module.network, wanted)
    observed = config.dataset.n_views - 1
    if why and session.checkpoint is None:
        steps = 0 if group is None else group.n_views - observed
        print(f"monitor.rollout_steps={wanted}: {steps} are measured; {why}", file=sys.stderr)
    return [] if group is None else [Rollouts(session.data.val, group, observed)]


def best_key(config: Config, splits: Splits) -> str:
    """The class probe, or without labels the action probe, unless the configuration names another."""
    return build.best_key(config, splits.train.n_classes)


def protocol(config: Config, splits: Splits) -> dict[str, Any]:
    """Images, checkpoint, probes and seed."""
    return record.protocol(config, splits)


def remark(splits: Splits, parts: Parts) -> str | None:
    """That probes are off without labels."""
    return None if splits.train.n_classes else "no labels: class probes are off"


def show_outcome(
    session: Session, history: History, verdict: Verdict, gates: list[GateResult], callbacks: list[Any]
) -> None:
    """Figures, page, table and verdict, with the sweeps through the factors."""
    sweeps = next((c.result for c in callbacks if isinstance(c, FactorSweeps)), None)
    run, config, group = session.run, session.config, session.parts.module.group
    outcome.show_outcome(run, config, history, verdict, gates, group=group, source=session.data.val, sweeps=sweeps)
