"""What the runs of all studies are built around: budget, auxiliary arms, and callbacks in the order
they act."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from jepa_lab.auxiliary import AuxTerm, SiteOptions
from jepa_lab.callbacks import Gates, TargetEMA
from jepa_lab.callbacks.checkpoints import RandomState, Saver
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.logging import EpochLines, GradientStatistics, TrainingFeatures, TrainingLog
from jepa_lab.callbacks.stopping import StopOnRequest
from jepa_lab.callbacks.verdict import CurrentVerdict, StateBar, StopOnVerdict
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.diagnosis import Verdict
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.training.budget import required, target_tau
from jepa_lab.training.study import Session


def build_aux_terms(config: JepaConfig, widths: dict[str, int]) -> dict[str, AuxTerm]:
    """The arms of the group aux that have a weight, on taps of these widths; the coding rate of a
    seq-JEPA is no module of its own. UserError for a site whose tap the network does not have.

    Every arm's heads are drawn from a stream of their own: the network and what is drawn after it
    are the same whatever the arms.
    """
    arms = {}
    for name, options in config.aux.items():
        if isinstance(options, SiteOptions) and options.weight > 0:
            unknown = [tap for tap in options.reads if tap not in widths]
            if unknown:
                raise UserError(
                    f"aux.{name}.site={options.where}: {unknown[0]} is none of {', '.join(widths)}"
                )
            with torch.random.fork_rng(devices=[]):
                arms[name] = AuxTerm(options, widths, has_ema_teacher=config.target.name == "ema")
    return arms


def frame_callbacks(
    session: Session,
    best: str,
    actors: list[Any],
    readers: list[Any],
    judge: Callable[[History], Verdict],
) -> list[Any]:
    """In the order they act: the guard, the target, what else acts on the model, a user's own, then
    readers, then the checkpoint (Lightning keeps it last). `best`: the metric that chooses
    best.ckpt; `judge`: the verdict so far."""
    config, budget, ledger = session.config, session.parts.budget, required(session.ledger)
    callbacks: list[Any] = [FiniteGuard(skip=config.diagnosis.on_nan == "skip")]
    if config.target.name == "ema":
        callbacks.append(
            TargetEMA(
                target_tau(config, budget.steps),
                config.target.schedule,
                budget.steps,
                config.target.bn_buffers,
            )
        )
    saver = Saver(
        session.run.checkpoints, best, ledger, config.monitor.save_every_s, session.run.run_id
    )
    current = CurrentVerdict(ledger, judge)
    callbacks += [*actors, *(options.build() for options in config.callbacks.values())]
    if config.monitor.gradients_every is not None:
        callbacks.append(GradientStatistics(config.monitor.gradients_every))
    if config.monitor.features_every is not None:
        callbacks.append(TrainingFeatures(config.monitor.features_every))
    if sys.stderr.isatty():
        callbacks.append(StateBar(current))
    return [
        *callbacks,
        TrainingLog(config.monitor.log_every),
        *readers,
        current,
        EpochLines(config.dataset.epochs, current.text),
        Gates(config.gates.limits(), lambda: last_values(ledger.history())),
        RandomState(),
        saver,
        StopOnVerdict(config.diagnosis.stop_on, current),
        StopOnRequest(session.stop, config.max_wall_s, saver),
    ]
