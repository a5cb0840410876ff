"""The callbacks that the trained runs of all studies share, in the order in which they act."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from jepa_lab.callbacks import Gates, TargetEMA
from jepa_lab.callbacks.checkpoints import Saver
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.logging import EpochLines, GradientStatistics, TrainingFeatures, TrainingLog
from jepa_lab.callbacks.random_state import RandomState
from jepa_lab.callbacks.state_ring import RING, StateRing
from jepa_lab.callbacks.stopping import StopOnRequest
from jepa_lab.callbacks.verdict import CurrentVerdict, StateBar, StopOnVerdict
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis import Verdict
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.training.budget import required, target_tau
from jepa_lab.training.study import Session


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
