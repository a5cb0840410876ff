"""The callbacks of a seq-JEPA run, in the order in which Lightning calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jepa_lab.callbacks import OnlineProbes
from jepa_lab.diagnosis import Verdict
from jepa_lab.errors import say
from jepa_lab.ledger.parquet import History
from jepa_lab.studies.seq_jepa.evaluation.loading import rollout_views
from jepa_lab.studies.seq_jepa.factor_sweeps import FactorSweeps
from jepa_lab.studies.seq_jepa.monitor import SeqJEPAMonitor
from jepa_lab.studies.seq_jepa.probes import SeqJEPAProbes
from jepa_lab.studies.seq_jepa.references import ProbeReferences
from jepa_lab.studies.seq_jepa.rollouts import Rollouts
from jepa_lab.training.frame import frame_callbacks
from jepa_lab.training.study import Session


def build_callbacks(session: Session, best: str, judge: Callable[[History], Verdict]) -> list[Any]:
    """Returns the callbacks of every run together with those of seq-JEPA."""
    config, val = session.config, session.data.val
    probes, batches = config.probes, session.parts.budget.batches * config.dataset.epochs
    readers: list[Any] = [
        OnlineProbes(
            SeqJEPAProbes(probes.leak_head),
            lr=probes.lr,
            weight_decay=probes.weight_decay,
            hidden=probes.hidden,
            steps=batches,
            seed=config.seed,
            r2=probes.r2,
        ),
        ProbeReferences(
            session.data,
            batch_size=config.dataset.batch_size,
            lr=probes.lr,
            weight_decay=probes.weight_decay,
            steps=batches,
            seed=config.seed,
        ),
        SeqJEPAMonitor(subspace=config.monitor.subspace, metrics=config.monitor.metrics),
    ]
    actors: list[Any] = []
    if config.monitor.sweep_anchors > 0 and session.place.first:
        actors.append(
            FactorSweeps(val.images[: config.monitor.sweep_anchors], config.monitor.sweep_every)
        )
    rollouts = _rollouts(session) if session.place.first else []
    return [*rollouts, *frame_callbacks(session, best, actors, readers, judge)]


def _rollouts(session: Session) -> list[Any]:
    """Returns the callback that measures rollouts after training, if possible. Prints the reason if
    it can measure fewer steps than configured."""
    config, wanted = session.config, session.config.monitor.rollout_steps
    group, why = rollout_views(config, session.data, session.parts.module.network, wanted)
    observed = config.dataset.n_views - 1
    if why and session.checkpoint is None:
        steps = 0 if group is None else group.n_views - observed
        say(f"monitor.rollout_steps={wanted}: {steps} are measured; {why}", prefix="")
    return [] if group is None else [Rollouts(session.data.val, group, observed)]
