"""Records of a run about itself: the configuration with all derived values, the parameter counts
and the cost of monitoring."""

from __future__ import annotations

from typing import Any

import torch
import yaml

from jepa_lab.callbacks.study_monitor import StudyMonitor
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.training.budget import Budget, target_tau


def resolved_yaml(config: JepaConfig, best: str, budget: Budget) -> str:
    """Returns config.yaml with all derived values of the run, and the metric that chooses
    best.ckpt."""
    data = yaml.safe_load(config.to_yaml())
    if config.target.name == "ema":
        data["target"]["tau"] = target_tau(config, budget.steps)
    data["monitor"]["best"] = best
    data["monitor"]["every_epochs"] = budget.validate_every
    return yaml.safe_dump(data, sort_keys=False)


def measured_cost(callbacks: list[Any]) -> float:
    """Returns the seconds of the collapse monitor, without the evaluation passes that it reads."""
    return next(c.seconds for c in callbacks if isinstance(c, StudyMonitor))


def count_parameters(module: torch.nn.Module) -> dict[str, int]:
    """Returns the numbers of trainable and frozen parameters, and of every part that has any.

    The parts are encoder, aggregator, predictor and the rest of the network, target_encoder,
    aux.<loss>, and other parts of the objective.
    """
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    total = sum(p.numel() for p in module.parameters())
    parts: dict[str, int] = {}
    for owner, child in module.named_children():
        inner = child.named_children() if owner in ("network", "objective") else [(owner, child)]
        for name, part in inner:
            losses = part.named_children() if name == "aux" else [("", part)]
            sizes = {
                f"{name}.{loss}".rstrip("."): sum(p.numel() for p in m.parameters())
                for loss, m in losses
            }
            parts |= {key: size for key, size in sizes.items() if size}
    return {"trainable": trainable, "frozen": total - trainable, **parts}
