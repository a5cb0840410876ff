"""What the runs of all studies are built around: budget, auxiliary arms, and callbacks in the order they act."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from jepa_lab.auxiliary import Arm, SiteOptions
from jepa_lab.callbacks import Gates, TargetEMA
from jepa_lab.callbacks.checkpoints import RandomState, Saver
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.logging import EpochLines, GradientStatistics, TrainingFeatures, TrainingLog
from jepa_lab.callbacks.stopping import Stopper
from jepa_lab.callbacks.verdict import CurrentVerdict, StateBar, VerdictStop
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import ParquetLedger, last_values
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.networks.target import tau_from_memory
from jepa_lab.process.stop import Stop
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.seq_jepa.config import Config

T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """How long a run is."""

    batches: int  # an epoch
    steps: int  # optimiser steps in all
    validate_every: int  # epochs


def build_budget(config: Config | ArcConfig, batches: int) -> Budget:
    """Steps and the interval of validations. UserError if the last epoch would not be validated."""
    epochs = config.dataset.epochs
    every = config.monitor.every_epochs or max(
        n for n in range(1, epochs + 1) if epochs % n == 0 and epochs // n >= min(epochs, 12)
    )
    if epochs % every:
        raise UserError(
            f"monitor.every_epochs={every}: {epochs} epochs are no multiple of it; the last would go unseen"
        )
    return Budget(batches, epochs * math.ceil(batches / config.optim.accumulate), every)


def build_arms(config: Config | ArcConfig, widths: dict[str, int]) -> dict[str, Arm]:
    """The arms of the group aux that have a weight, on taps of these widths; the coding rate of a seq-JEPA is no module
    of its own. UserError for a site whose tap the network does not have.

    Every arm's heads are drawn from a stream of their own: the network and what is drawn after it are the same
    whatever the arms.
    """
    arms = {}
    for name, options in config.aux.items():
        if isinstance(options, SiteOptions) and options.weight > 0:
            unknown = [tap for tap in options.reads if tap not in widths]
            if unknown:
                raise UserError(f"aux.{name}.site={options.where}: {unknown[0]} is none of {', '.join(widths)}")
            with torch.random.fork_rng(devices=[]):
                arms[name] = Arm(options, widths, averaged=config.target.name == "ema")
    return arms


def given(value: T | None) -> T:
    """The value, which the configuration's check has found to be there."""
    assert value is not None
    return value


def target_tau(config: Config | ArcConfig, steps: int) -> float:
    """The EMA rate of the run: as given, or from the memory's share of the steps."""
    tau = config.target.tau
    return tau_from_memory(config.target.memory, steps) if tau is None else tau


def frame_callbacks(
    config: Config | ArcConfig,
    budget: Budget,
    run: RunDir,
    ledger: ParquetLedger,
    stop: Stop,
    best: str,
    actors: list[Any],
    readers: list[Any],
) -> list[Any]:
    """In the order they act: the guard, the target, what else acts on the model, then readers, then the checkpoint
    (Lightning keeps it last). `best`: the metric that chooses best.ckpt."""
    callbacks: list[Any] = [FiniteGuard(skip=config.diagnosis.on_nan == "skip")]
    if config.target.name == "ema":
        callbacks.append(
            TargetEMA(target_tau(config, budget.steps), config.target.schedule, budget.steps, config.target.bn_buffers)
        )
    saver = Saver(run.checkpoints, best, ledger, config.monitor.save_every_s, run.run_id)
    current = CurrentVerdict(ledger, asdict(config))
    callbacks += actors
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
        VerdictStop(config.diagnosis.stop_on, current),
        Stopper(stop, config.max_wall_s, saver),
    ]
