"""Prepares a module that several processes train together."""

from __future__ import annotations

import copy
from typing import Any

import torch

from jepa_lab.config.schema import HardwareConfig
from jepa_lab.networks.synced_batch_norm import sync_batch_norms
from jepa_lab.training.accelerator import accelerator_of
from jepa_lab.training.place import Place
from jepa_lab.training.preflight import streams_restored
from jepa_lab.training.study import Parts

FEW = 4  # samples that tell which parameters the loss reads


def make_joint(parts: Parts, place: Place, hardware: HardwareConfig) -> bool:
    """Synchronises the batch norms of the module, except for those of the objective, which has the
    rows of all processes. Returns whether the loss leaves parameters without a gradient. Does
    nothing for one process."""
    unread = place.world > 1 and leaves_parameters_out(parts)
    if hardware.sync_batchnorm is not False and place.world > 1:
        for name, part in parts.module.named_children():
            if name != "objective":
                sync_batch_norms(part, accelerator_of(hardware) is not None)
    return unread


def leaves_parameters_out(parts: Parts) -> bool:
    """Returns whether the loss of the run leaves a parameter without a gradient, as that of an
    unused predictor. Nothing of the run changes."""
    module: Any = copy.deepcopy(parts.module)
    with streams_restored():
        batch = module.on_after_batch_transfer(parts.loaders["train"].first(FEW), 0)
        loss = module.training_step(batch, 0)
    parameters = [p for p in module.parameters() if p.requires_grad]
    return None in torch.autograd.grad(loss, parameters, allow_unused=True)
