"""Builds data loaders, views, network and objective from a checked configuration. Imports no
Lightning, so that `jepa_lab.check` starts fast."""

from __future__ import annotations

from typing import Any

from torch import nn

from jepa_lab.auxiliary.build import build_aux_terms
from jepa_lab.auxiliary.coding_rate import CodingRateOptions
from jepa_lab.config.extensions import EncoderOptions, ViewOptions
from jepa_lab.data.images.image_source import ImageSource, Splits
from jepa_lab.data.loader import EpochLoader
from jepa_lab.data.views.build import ViewGroup, make_view_group
from jepa_lab.errors import UserError
from jepa_lab.losses import DinoLoss, MismatchedSharpening, RateLoss
from jepa_lab.networks.aggregator import MeanAggregator, TransformerAggregator
from jepa_lab.networks.crate import CrateAggregator, CratePredictor
from jepa_lab.networks.ema import make_ema_copy
from jepa_lab.networks.encoders import build_encoder, channels_last_is_safe
from jepa_lab.networks.heads import ActionProjection, mlp_predictor
from jepa_lab.networks.prototypes import PrototypeHead
from jepa_lab.networks.timm_encoder import TimmEncoder
from jepa_lab.studies.seq_jepa.config import Config, LossConfig, ModelConfig
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.objective import Objective, PredictionLoss
from jepa_lab.training.accelerator import accelerator_of
from jepa_lab.training.budget import required


def build_views(config: Config, source: ImageSource) -> ViewGroup:
    """Returns the view group with the source's normalisation."""
    d = config.dataset
    if isinstance(d.views, ViewOptions):
        own: ViewGroup = d.views.build(
            n_views=d.n_views, mean=source.mean, std=source.std, first_view=d.first_view
        )
        return own
    options = d.view_options()
    if d.views == "saccade":
        options["image_size"] = tuple(source.images.shape[2:])
    if d.views == "augment":
        options["image_size"] = source.images.shape[-1]
    if d.views == "rendered":
        options["renderings"] = required(source.latents).shape[1]
    return make_view_group(
        d.views,
        n_views=d.n_views,
        mean=source.mean,
        std=source.std,
        first_view=d.first_view,
        **options,
    )


def build_loaders(config: Config, splits: Splits) -> dict[str, EpochLoader]:
    """Returns the loaders train (shuffled), val and test (in order) with the run's batch size."""
    size, on = config.dataset.batch_size, {"device": accelerator_of(config.hardware)}
    return {
        "train": EpochLoader(
            splits.train, size, split="train", seed=config.seed, shuffle=True, **on
        ),
        "val": EpochLoader(splits.val, size, split="val", **on),
        "test": EpochLoader(splits.test, size, split="test", **on),
    }


def build_network(
    config: Config, group: ViewGroup, source: ImageSource
) -> tuple[SeqJEPANetwork, Objective]:
    """Returns network and objective. The weights are drawn from the global random stream. Raises
    UserError for parts that do not fit."""
    channels, size = len(source.mean), group.view_size(*source.images.shape[2:])[0]
    encoder = build_encoder_of(config, channels, size)
    model, loss = config.model, config.loss
    dim = int(encoder.dim)  # type: ignore[arg-type]
    width = dim + model.action_dim
    network = SeqJEPANetwork(
        encoder,
        build_aggregator(model, width),
        build_predictor(model, width, dim),
        ActionProjection(group.action_dim, model.action_dim),
        channels_last=config.hardware.channels_last
        and config.encoder.name != "pixels"
        and channels_last_is_safe(encoder),
        two_calls=model.action_bn == "two_calls",
        conditioned=model.action_conditioning,
    )
    rate = None
    if loss.lambda_rate > 0:
        rate = RateLoss(
            loss.rate_target, loss.alpha, loss.rate_normalise, loss.rate_center, loss.rate_form
        )
    classifier = (
        nn.Linear(width, source.n_classes) if loss.supervised > 0 and source.n_classes > 1 else None
    )
    if loss.supervised > 0 and classifier is None:
        raise UserError(
            f"loss.supervised={loss.supervised}: the images of dataset={config.dataset.name} have"
            " no labels"
        )
    objective = Objective(
        rate,
        lambda_rate=loss.lambda_rate,
        prediction=loss.prediction,
        supervised=loss.supervised,
        classifier=classifier,
        match=build_prediction_loss(loss, dim, has_ema_teacher=config.target.name == "ema"),
        aux=build_aux_terms(config, {"z": dim, "z_agg": width, "z_hat": dim, "z_target": dim}),
        rate_ramp=next(
            (a.ramp for a in config.aux.values() if isinstance(a, CodingRateOptions)), 0.0
        ),
    )
    return network, objective


def build_encoder_of(config: Config, channels: int, size: int) -> nn.Module:
    """Returns the encoder of images (n, channels, size, size), built-in or user-defined. Raises
    UserError for a user-defined encoder without an attribute `dim`."""
    options: Any = config.encoder
    if not isinstance(options, EncoderOptions):
        if options.library == "timm":
            return TimmEncoder(options.name, channels, size, **options.options())
        return build_encoder(
            options.name,
            in_channels=channels,
            image_size=size,
            widths=tuple(options.widths),
            **options.options(),
        )
    encoder: nn.Module = options.build(channels, size)
    if not isinstance(getattr(encoder, "dim", None), int):
        raise UserError(
            f"encoder={options.name}: the module that it builds needs an attribute dim, its number"
            " of features"
        )
    return encoder


def build_prediction_loss(
    loss: LossConfig, dim: int, has_ema_teacher: bool
) -> PredictionLoss | None:
    """Returns the loss that replaces 1 - cos between z_hat and z_target (B, dim), or None for
    cosine. With `has_ema_teacher` the teacher has a prototype head of its own, an average of the
    student's."""
    if loss.form == "cosine":
        return None
    temp, decay = required(loss.teacher_temp), required(loss.center_decay)
    if loss.form == "sharpened":
        return PredictionLoss(MismatchedSharpening(dim, temp, decay))
    student_head = None
    if loss.form == "dino":
        student_head = PrototypeHead(
            dim, required(loss.prototypes), required(loss.head_hidden), required(loss.bottleneck)
        )
    width = required(loss.prototypes) if student_head is not None else dim
    return PredictionLoss(
        DinoLoss(width, required(loss.student_temp), temp, decay, hold=True),
        student_head,
        make_ema_copy(student_head) if student_head is not None and has_ema_teacher else None,
        (required(loss.teacher_temp_start), temp, required(loss.temp_warmup)),
    )


def build_aggregator(model: ModelConfig, width: int) -> nn.Module:
    """Returns the aggregator, which maps tokens (B, M, width) to (B, width). Raises UserError if
    the number of heads does not divide the width."""
    shared: dict[str, Any] = {
        "depth": model.depth,
        "heads": model.heads,
        "positions": model.positions,
    }
    if model.aggregator == "transformer":
        own: dict[str, Any] = {
            "ffn_ratio": model.ffn_ratio,
            "dropout": model.dropout,
            "norm_first": model.norm_first,
        }
        return TransformerAggregator(width, **shared, **own)
    if model.aggregator == "crate":
        return CrateAggregator(
            width, **shared, eta=required(model.eta), sparsity=required(model.sparsity)
        )
    return MeanAggregator()


def build_predictor(model: ModelConfig, width: int, dim: int) -> nn.Module:
    """Returns the predictor, which maps concat(z_agg, action) (n, width + P) to (n, dim)."""
    if model.predictor == "mlp":
        return mlp_predictor(width + model.action_dim, dim, required(model.hidden))
    depth, heads = required(model.predictor_depth), required(model.predictor_heads)
    sizes = {"eta": required(model.eta), "sparsity": required(model.sparsity)}
    return CratePredictor(width, model.action_dim, dim, depth=depth, heads=heads, **sizes)


def best_key(config: Config, n_classes: int) -> str:
    """Returns the name of the validation metric that chooses best.ckpt."""
    if config.monitor.best != "auto":
        return config.monitor.best
    return "val/probe/class_from_z_agg" if n_classes > 1 else "val/probe/action_from_z"
