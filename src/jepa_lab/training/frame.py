"""The callbacks that the trained runs of all studies share, in the order in which they act."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from jepa_lab.callbacks import Gates, TargetEMA
from jepa_lab.callbacks.checkpoints import Saver
from jepa_lab.callbacks.consensus import AgreedStop, Consensus, FollowedVerdict
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.logging import EpochLines, GradientStatistics, TrainingFeatures, TrainingLog
from jepa_lab.callbacks.random_state import RandomState
from jepa_lab.callbacks.state_ring import RING, StateRing
from jepa_lab.callbacks.stopping import StopOnRequest
from jepa_lab.callbacks.verdict import CurrentVerdict, StateBar, StopOnVerdict
from jepa_lab.config.statuses import FAILURES
from jepa_lab.diagnosis import Verdict
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.process.stop import StopRequest
from jepa_lab.training.budget import required, target_tau
from jepa_lab.training.study import Session


def frame_callbacks(
    session: Session,
    best: str,
    actors: list[Any],
    readers: list[Any],
    judge: Callable[[History], Verdict],
    joint: Sequence[Any] = (),
) -> list[Any]:
    """Returns the callbacks of a run in the order in which they act.

    The order is the guard, the target, `actors` (they act on the model), user-defined callbacks,
    `readers`, `joint` (readers that count in all processes together), and the checkpoint, which
    Lightning keeps last. `best` is the metric that chooses best.ckpt. `judge` returns the current
    verdict from the history.

    Of several processes only the first has the callbacks that measure, log and write. All have
    those that act on the model, and those that may end the run, which follow the first.
    """
    config, budget = session.config, session.parts.budget
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
    callbacks += [*actors, *(options.build() for options in config.callbacks.values())]
    if config.monitor.gradients_every is not None:
        callbacks.append(GradientStatistics(config.monitor.gradients_every))
    folder, monitor, id_ = session.run.checkpoints, config.monitor, session.run.run_id
    stop = session.stop if session.place.world == 1 else AgreedStop(session.stop)
    if not session.place.first:
        followed = FollowedVerdict()
        saver = Saver(folder, best, None, monitor.save_every_s, id_)
        return [*callbacks, *joint, *_deciding(session, stop, saver, followed)]
    ledger = required(session.ledger)
    current = CurrentVerdict(ledger, judge)
    saver = Saver(
        folder,
        best,
        ledger,
        monitor.save_every_s,
        id_,
        StateRing(folder / RING, monitor.ring, monitor.ring_mb),
        lambda: current.verdict is not None and current.verdict.status in FAILURES,
    )
    if config.monitor.features_every is not None:
        callbacks.append(TrainingFeatures(config.monitor.features_every))
    if sys.stderr.isatty():
        callbacks.append(StateBar(current))
    return [
        *callbacks,
        TrainingLog(config.monitor.log_every),
        *readers,
        *joint,
        current,
        EpochLines(config.dataset.epochs, current.text),
        Gates(config.gates.limits(), lambda: last_values(ledger.history())),
        *_deciding(session, stop, saver, current),
    ]


def _deciding(
    session: Session, stop: StopRequest, saver: Saver, verdicts: CurrentVerdict | FollowedVerdict
) -> list[Any]:
    """Returns the callbacks that write checkpoints and may end the run."""
    config = session.config
    together = (
        [Consensus(stop, config.max_wall_s, saver, verdicts)]
        if isinstance(stop, AgreedStop)
        else []
    )
    return [
        *together,
        RandomState(),
        saver,
        StopOnVerdict(config.diagnosis.stop_on, verdicts),
        StopOnRequest(stop, config.max_wall_s, saver),
    ]
