"""From a checked configuration to objects: data, views, network, module, callbacks."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from jepa_lab.auxiliary import Arm, SiteOptions
from jepa_lab.auxiliary.coding_rate import CodingRateOptions
from jepa_lab.callbacks import (
    CurrentVerdict,
    EpochLines,
    FactorSweeps,
    FiniteGuard,
    Gates,
    GradientStatistics,
    OnlineProbes,
    RandomState,
    Saver,
    SeqJEPAMonitor,
    StateBar,
    Stopper,
    TargetEMA,
    TrainingFeatures,
    TrainingLog,
    VerdictStop,
)
from jepa_lab.config.arc import ArcConfig
from jepa_lab.config.loss import LossConfig
from jepa_lab.config.model import ModelConfig
from jepa_lab.config.schema import Config
from jepa_lab.data.images import ImageSource, Splits
from jepa_lab.data.loader import EpochLoader
from jepa_lab.data.views import ViewGroup, make_view_group
from jepa_lab.errors import UserError
from jepa_lab.ledger import ParquetLedger, RunDir, last_values
from jepa_lab.losses import DinoLoss, MismatchedSharpening, RateLoss
from jepa_lab.modules.objective import Match, Objective
from jepa_lab.modules.seq_jepa import SeqJEPA
from jepa_lab.networks.aggregator import MeanAggregator, TransformerAggregator
from jepa_lab.networks.crate import CrateAggregator, CratePredictor
from jepa_lab.networks.encoders import build_encoder
from jepa_lab.networks.heads import ActionProjection, mlp_predictor
from jepa_lab.networks.prototypes import PrototypeHead
from jepa_lab.networks.seq_jepa import SeqJEPANetwork
from jepa_lab.networks.target import make_ema_copy, tau_from_memory
from jepa_lab.stop import Stop

T = TypeVar("T")


@dataclass(frozen=True)
class Budget:
    """How long a run is."""

    batches: int  # an epoch
    steps: int  # optimiser steps in all
    validate_every: int  # epochs


def build_views(config: Config, source: ImageSource) -> ViewGroup:
    """The view group with this source's normalisation."""
    d = config.dataset
    options = d.view_options()
    if d.views == "saccade":
        options["image_size"] = tuple(source.images.shape[2:])
    if d.views == "augment":
        options["image_size"] = source.images.shape[-1]
    if d.views == "rendered":
        options["renderings"] = given(source.latents).shape[1]
    return make_view_group(
        d.views, n_views=d.n_views, mean=source.mean, std=source.std, first_view=d.first_view, **options
    )


def build_loaders(config: Config, splits: Splits) -> dict[str, EpochLoader]:
    """train (shuffled), val and test (in order) at the run's batch size."""
    size = config.dataset.batch_size
    return {
        "train": EpochLoader(splits.train, size, split="train", seed=config.seed, shuffle=True),
        "val": EpochLoader(splits.val, size, split="val"),
        "test": EpochLoader(splits.test, size, split="test"),
    }


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


def build_module(config: Config, group: ViewGroup, source: ImageSource, steps: int) -> SeqJEPA:
    """Network and objective under the LightningModule; the weights come from the global random stream."""
    channels, size = len(source.mean), group.view_size(*source.images.shape[2:])[0]
    encoder = build_encoder(
        config.encoder.name, in_channels=channels, image_size=size, widths=tuple(config.encoder.widths)
    )
    model, loss = config.model, config.loss
    dim = int(encoder.dim)  # type: ignore[arg-type]
    width = dim + model.action_dim
    network = SeqJEPANetwork(
        encoder,
        build_aggregator(model, width),
        build_predictor(model, width, dim),
        ActionProjection(group.action_dim, model.action_dim),
        channels_last=config.hardware.channels_last and config.encoder.name != "pixels",
        two_calls=model.action_bn == "two_calls",
        conditioned=model.action_conditioning,
    )
    rate = None
    if loss.lambda_rate > 0:
        rate = RateLoss(loss.rate_target, loss.alpha, loss.rate_normalise, loss.rate_center, loss.rate_form)
    classifier = nn.Linear(width, source.n_classes) if loss.supervised > 0 and source.n_classes > 1 else None
    if loss.supervised > 0 and classifier is None:
        raise UserError(
            f"loss.supervised={loss.supervised}: the images of dataset={config.dataset.name} have no labels"
        )
    module = SeqJEPA(
        network,
        group,
        Objective(
            rate,
            lambda_rate=loss.lambda_rate,
            prediction=loss.prediction,
            supervised=loss.supervised,
            classifier=classifier,
            match=build_match(loss, dim, averaged=config.target.name == "ema"),
            aux=build_arms(config, {"z": dim, "z_agg": width, "z_hat": dim, "z_target": dim}),
            rate_ramp=next((arm.ramp for arm in config.aux.values() if isinstance(arm, CodingRateOptions)), 0.0),
        ),
        target=config.target.name,
        bn_buffers=config.target.bn_buffers,
        optim=config.optim,
        steps=steps,
        seed=config.seed,
        n_classes=source.n_classes,
        symmetric=loss.symmetric,
        eval_first_view=config.dataset.eval_first_view,
    )
    if config.hardware.compile:
        network.encoder.compile()
    return module


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


def build_match(loss: LossConfig, dim: int, averaged: bool) -> Match | None:
    """What takes the place of 1 - cos between z_hat and z_target (B, dim); `averaged`: the teacher has its own head."""
    if loss.form == "cosine":
        return None
    temp, decay = given(loss.teacher_temp), given(loss.center_decay)
    if loss.form == "sharpened":
        return Match(MismatchedSharpening(dim, temp, decay))
    student_head = None
    if loss.form == "dino":
        student_head = PrototypeHead(dim, given(loss.prototypes), given(loss.head_hidden), given(loss.bottleneck))
    width = given(loss.prototypes) if student_head is not None else dim
    return Match(
        DinoLoss(width, given(loss.student_temp), temp, decay, hold=True),
        student_head,
        make_ema_copy(student_head) if student_head is not None and averaged else None,
        (given(loss.teacher_temp_start), temp, given(loss.temp_warmup)),
    )


def build_aggregator(model: ModelConfig, width: int) -> nn.Module:
    """Tokens (B, M, width) -> (B, width). UserError for heads that do not divide the width."""
    shared: dict[str, Any] = {"depth": model.depth, "heads": model.heads, "positions": model.positions}
    if model.aggregator == "transformer":
        own: dict[str, Any] = {"ffn_ratio": model.ffn_ratio, "dropout": model.dropout, "norm_first": model.norm_first}
        return TransformerAggregator(width, **shared, **own)
    if model.aggregator == "crate":
        return CrateAggregator(width, **shared, eta=given(model.eta), sparsity=given(model.sparsity))
    return MeanAggregator()


def build_predictor(model: ModelConfig, width: int, dim: int) -> nn.Module:
    """concat(z_agg, action) (n, width + P) -> (n, dim)."""
    if model.predictor == "mlp":
        return mlp_predictor(width + model.action_dim, dim, given(model.hidden))
    depth, heads = given(model.predictor_depth), given(model.predictor_heads)
    sizes = {"eta": given(model.eta), "sparsity": given(model.sparsity)}
    return CratePredictor(width, model.action_dim, dim, depth=depth, heads=heads, **sizes)


def given(value: T | None) -> T:
    """The value, which the configuration's check has found to be there."""
    assert value is not None
    return value


def target_tau(config: Config | ArcConfig, steps: int) -> float:
    """The EMA rate of the run: as given, or from the memory's share of the steps."""
    tau = config.target.tau
    return tau_from_memory(config.target.memory, steps) if tau is None else tau


def best_key(config: Config, n_classes: int) -> str:
    """The validation metric that chooses best.ckpt."""
    if config.monitor.best != "auto":
        return config.monitor.best
    return "val/probe/class_from_z_agg" if n_classes > 1 else "val/probe/action_from_z"


def build_callbacks(
    config: Config, budget: Budget, run: RunDir, ledger: ParquetLedger, val: ImageSource, stop: Stop
) -> list[Any]:
    """Those of every run around the readers of a seq-JEPA."""
    probes, batches = config.probes, budget.batches * config.dataset.epochs
    readers: list[Any] = [
        OnlineProbes(
            lr=probes.lr,
            weight_decay=probes.weight_decay,
            hidden=probes.hidden,
            steps=batches,
            seed=config.seed,
            r2=probes.r2,
            leak_head=probes.leak_head,
        ),
        SeqJEPAMonitor(subspace=config.monitor.subspace),
    ]
    actors: list[Any] = []
    if config.monitor.sweep_anchors > 0:
        actors.append(FactorSweeps(val.images[: config.monitor.sweep_anchors], config.monitor.sweep_every))
    best = best_key(config, val.n_classes)
    return frame_callbacks(config, budget, run, ledger, stop, best, actors, readers)


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
