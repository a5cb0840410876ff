"""Builds loaders, network and objective of the ARC JEPA from a checked configuration. Imports no
Lightning, so that `jepa_lab.check` starts fast."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from jepa_lab.auxiliary.build import build_aux_terms
from jepa_lab.errors import UserError
from jepa_lab.networks.vq.build import Quantizer, build_quantizer
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.context import ContextAggregator, Predictor, Projection
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.data.task import TaskSplits
from jepa_lab.studies.arc.data.tokens.tokenisers import Tokeniser, make_tokeniser
from jepa_lab.studies.arc.data.tokens.tokens import AugmentOptions
from jepa_lab.studies.arc.dataset_config import ArcDatasetConfig
from jepa_lab.studies.arc.encoder import TokenEncoder
from jepa_lab.studies.arc.model_config import VQConfig
from jepa_lab.studies.arc.network import ArcNetwork
from jepa_lab.studies.arc.objective import ArcObjective
from jepa_lab.training.accelerator import accelerator_of
from jepa_lab.training.budget import required


def build_tokeniser(d: ArcDatasetConfig) -> Tokeniser:
    """Returns the tokeniser of the dataset: slots of objects or patches of cells. Raises UserError
    for more slots than the largest grid has objects."""
    if d.tokeniser == "patches":
        return make_tokeniser("patches", patch=d.patch)
    try:
        return make_tokeniser(
            "slots",
            slot_features=d.slot_features,
            max_objects=d.max_objects,
            connectivity=d.connectivity,
        )
    except ValueError as error:
        raise UserError(f"dataset.{error}") from error


def build_loaders(
    config: ArcConfig, tasks: TaskSplits, tokeniser: Tokeniser
) -> dict[str, ArcLoader]:
    """Returns the loaders train (shuffled and augmented), val and test (unchanged and in order).

    Raises UserError if the tasks do not allow the options, if the cache belongs to other data, and
    if it cannot be written.
    """
    d, families = config.dataset, config.loss.invariance
    common: dict[str, Any] = {
        "problem": d.problem,
        "n_demos": d.n_demos,
        "n_frames": d.n_frames,
        "batch_size": d.batch_size,
        "seed": config.seed,
        "cache": d.cache,
        "device": accelerator_of(config.hardware),
    }
    augment = AugmentOptions(**asdict(d.augment))
    transforms = tuple(families.weights()) if families.form == "true" else ()
    try:
        return {
            "train": ArcLoader(
                tasks.train,
                tokeniser,
                split="train",
                shuffle=True,
                augment=augment,
                families=transforms,
                variants=d.variants,
                **common,
            ),
            "val": ArcLoader(tasks.val, tokeniser, split="val", **common),
            "test": ArcLoader(tasks.test, tokeniser, split="test", **common),
        }
    except OSError as error:
        raise UserError(f"dataset.cache={d.cache}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"dataset.{error}") from error


def build_quantizer_of(config: VQConfig, width: int, seed: int) -> Quantizer | None:
    """Returns the codebook of the configuration, or None if it is disabled."""
    if not config.enabled:
        return None
    common: dict[str, Any] = {
        "in_objective": config.in_objective,
        "count_padding": config.count_padding,
        "seed": seed,
    }
    if config.kind == "fsq":
        return build_quantizer("fsq", width, levels=required(config.levels), **common)
    if config.kind == "gumbel":
        temperature = (required(config.gumbel_start), required(config.gumbel_end))
        scale = 1.0 / width if config.gumbel_scale is None else config.gumbel_scale
        return build_quantizer(
            "gumbel",
            width,
            required(config.size),
            gumbel_temperature=temperature,
            gumbel_share=required(config.gumbel_share),
            gumbel_scale=scale,
            usage_weight=required(config.usage_weight),
            **common,
        )
    return build_quantizer(
        "hard",
        width,
        required(config.size),
        commitment=required(config.commitment),
        ema_decay=config.ema_decay,
        init=required(config.init),
        weight_on=required(config.weight_on),
        update=required(config.update),
        share=config.share,
        **common,
    )


def build_network(
    config: ArcConfig, tokeniser: Tokeniser, places: int
) -> tuple[ArcNetwork, ArcObjective]:
    """Returns network and objective, for contexts of `places` grids. The weights are drawn from the
    global random stream."""
    m = config.model
    encoder = TokenEncoder(
        tokeniser.n_features,
        tokeniser.n_colors,
        m.width,
        m.depth,
        m.heads,
        m.dropout,
        m.attention,
        m.final_norm,
    )
    network = ArcNetwork(
        encoder,
        ContextAggregator(m.context, m.width, places, m.heads, roles=m.roles),
        Predictor(m.width, m.hidden) if m.predictor == "mlp" else nn.Identity(),
        Projection(m.width, m.projection, m.projection_form),
        build_quantizer_of(config.vq, m.width, config.seed),
        side=config.vq.site == "side",
    )
    widths = {"z": m.width, "z_agg": m.width, "z_hat": m.projection, "z_target": m.projection}
    aux_terms = build_aux_terms(config, widths)
    objective = ArcObjective(
        config.loss, m.projection, shared_target=config.target.name == "shared", aux=aux_terms
    )
    return network, objective


def require_tokens(config: ArcConfig, loader: ArcLoader) -> None:
    """Raises UserError if the codebook has more codes than an epoch has tokens.

    Counts tokens only until there are as many as codes.
    """
    size = config.vq.size
    if not config.vq.enabled or size is None:
        return
    examples, tokens = loader.batch_size, 0
    while tokens < size:
        tokens = int(loader.examples_at(0, examples).view.context.mask.sum())
        if tokens < size and examples >= loader.n:
            raise UserError(
                f"vq.size={size}: more codes than the {tokens} tokens of an epoch of"
                f" {len(loader.examples)} examples; give fewer codes or more tasks"
            )
        examples *= 4


def best_key(config: ArcConfig) -> str:
    """Returns the validation metric that chooses best.ckpt.

    The default is the skill, which rises as the primary loss falls.
    """
    return "val/skill" if config.monitor.best == "auto" else config.monitor.best
