"""Parts that the trained runs of all studies share: auxiliary losses, and callbacks in the order in
which they act."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from jepa_lab.auxiliary import AuxTerm, SiteOptions
from jepa_lab.callbacks import Gates, TargetEMA
from jepa_lab.callbacks.checkpoints import Saver
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.logging import EpochLines, GradientStatistics, TrainingFeatures, TrainingLog
from jepa_lab.callbacks.random_state import RandomState
from jepa_lab.callbacks.state_ring import RING, StateRing
from jepa_lab.callbacks.stopping import StopOnRequest
from jepa_lab.callbacks.verdict import CurrentVerdict, StateBar, StopOnVerdict
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis import Verdict
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.training.budget import required, target_tau
from jepa_lab.training.study import Session


def build_aux_terms(config: JepaConfig, widths: dict[str, int]) -> dict[str, AuxTerm]:
    """Returns the auxiliary losses with a weight above 0, on taps of these widths.

    `widths` maps each tap to its number of features. The coding rate of a seq-JEPA is not included,
    since it is no module of its own. The heads of every loss are drawn from a forked random stream,
    so the network and everything drawn after it are the same with any auxiliary losses. Raises
    UserError for a site whose tap the network lacks.
    """
    terms = {}
    for name, options in config.aux.items():
        if isinstance(options, SiteOptions) and options.weight > 0:
            unknown = [tap for tap in options.reads if tap not in widths]
            if unknown:
                raise UserError(
                    f"aux.{name}.site={options.where}: {unknown[0]} is none of {', '.join(widths)}"
                )
            with torch.random.fork_rng(devices=[]):
                terms[name] = AuxTerm(options, widths, has_ema_teacher=config.target.name == "ema")
    return terms


def frame_callbacks(
    session: Session,
    best: str,
    actors: list[Any],
    readers: list[Any],
    judge: Callable[[History], Verdict],
) -> list[Any]:
    """Returns the callbacks of a run in the order in which they act.

    The order is the guard, the target, `actors` (they act on the model), user-defined callbacks,
    `readers`, and the checkpoint, which Lightning keeps last. `best` is the metric that chooses
    best.ckpt. `judge` returns the current verdict from the history.
    """
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
    current = CurrentVerdict(ledger, judge)
    folder, monitor = session.run.checkpoints, config.monitor
    saver = Saver(
        folder,
        best,
        ledger,
        monitor.save_every_s,
        session.run.run_id,
        StateRing(folder / RING, monitor.ring, monitor.ring_mb),
        lambda: current.verdict is not None and current.verdict.status in FAILURES,
    )
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
