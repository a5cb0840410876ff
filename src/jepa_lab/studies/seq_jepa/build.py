"""Builds the module of a run of seq-JEPA from a checked configuration."""

from __future__ import annotations

from torch import nn

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.parts import build_network
from jepa_lab.training.accelerator import compile_networks


def build_module(config: Config, group: ViewGroup, source: ImageSource, steps: int) -> SeqJEPA:
    """Returns the LightningModule with network and objective. The weights are drawn from the global
    random stream."""
    network, objective = build_network(config, group, source)
    module = SeqJEPA(
        network,
        group,
        objective,
        target=config.target.name,
        bn_buffers=config.target.bn_buffers,
        optim=config.optim,
        steps=steps,
        seed=config.seed,
        n_classes=source.n_classes,
        symmetric=config.loss.symmetric,
        eval_first_view=config.dataset.eval_first_view,
    )
    if config.hardware.compile:
        compile_networks(networks_of(module))
    return module


def networks_of(module: SeqJEPA) -> list[nn.Module]:
    """Returns every network that a training step calls: the parts of the online network, the target
    encoder, and the heads and projectors of the objective."""
    objective = module.objective
    heads = [] if objective.match is None else [objective.match]
    of_objective = [
        part
        for owner in [*heads, *(term for _, term in objective.arms())]
        for name, part in owner.named_modules()
        if name.rpartition(".")[2] in ("student_head", "teacher_head", "projector")
    ]
    return [
        *module.network.children(),
        *([] if module.target_encoder is None else [module.target_encoder]),
        *of_objective,
    ]
