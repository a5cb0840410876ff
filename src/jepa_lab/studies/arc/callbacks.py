"""The callbacks of a run of the ARC JEPA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from jepa_lab.callbacks import CodebookRefresh
from jepa_lab.callbacks.codebook_log import CodebookLog
from jepa_lab.callbacks.stopping import EarlyStopping
from jepa_lab.diagnosis import Verdict
from jepa_lab.ledger.parquet import History
from jepa_lab.studies.arc.monitor import ArcMonitor
from jepa_lab.studies.arc.parts import best_key
from jepa_lab.studies.arc.retrieval import RankedSplit
from jepa_lab.training.frame import frame_callbacks
from jepa_lab.training.study import Session


def build_callbacks(session: Session, judge: Callable[[History], Verdict]) -> list[Any]:
    """Returns the callbacks in the order in which they act: those of every study, and those of the
    ARC JEPA for its codebook, monitor and early stopping."""
    config, budget = session.config, session.parts.budget
    actors: list[Any] = []
    splits = {
        name: RankedSplit(session.parts.loaders[name].examples, getattr(session.data, name))
        for name in ("val", "test")
    }
    readers: list[Any] = [ArcMonitor(config.monitor.metrics, splits)]
    joint: list[Any] = []
    if config.vq.enabled:
        joint.append(CodebookLog(config.vq.window_tokens))
        if config.vq.refresh.enabled:
            options = asdict(config.vq.refresh)
            del options["enabled"]
            if options["stale_after"] is None:
                del options["stale_after"]
            actors.append(CodebookRefresh(**options, steps=budget.steps, seed=config.seed))
    callbacks = frame_callbacks(session, best_key(config), actors, readers, judge, joint)
    if config.early_stop.patience is not None:
        callbacks.insert(
            len(callbacks) - 3,
            EarlyStopping(config.early_stop.patience, config.early_stop.min_delta),
        )
    return callbacks
