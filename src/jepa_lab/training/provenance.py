"""What a run writes about itself: the configuration with all that was derived, and what its figures
stand on."""

from __future__ import annotations

from typing import Any

import torch
import yaml

from jepa_lab.callbacks import CollapseMonitor
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.training.budget import Budget, target_tau


def resolved_yaml(config: JepaConfig, best: str, budget: Budget) -> str:
    """config.yaml: every value of the run, those that were derived included, and the metric that
    chooses best.ckpt."""
    data = yaml.safe_load(config.to_yaml())
    if config.target.name == "ema":
        data["target"]["tau"] = target_tau(config, budget.steps)
    data["monitor"]["best"] = best
    data["monitor"]["every_epochs"] = budget.validate_every
    return yaml.safe_dump(data, sort_keys=False)


def measured_cost(callbacks: list[Any]) -> float:
    """Seconds that the collapse monitor took beyond the evaluation passes it read."""
    return next(c.seconds for c in callbacks if isinstance(c, CollapseMonitor))


def count_parameters(module: torch.nn.Module) -> dict[str, int]:
    """Trainable and frozen parameters, and those of every part that has any: encoder, aggregator,
    predictor and the rest of the network, target_encoder, aux.<arm> and what else the objective
    owns."""
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    total = sum(p.numel() for p in module.parameters())
    parts: dict[str, int] = {}
    for owner, child in module.named_children():
        inner = child.named_children() if owner in ("network", "objective") else [(owner, child)]
        for name, part in inner:
            arms = part.named_children() if name == "aux" else [("", part)]
            sizes = {
                f"{name}.{arm}".rstrip("."): sum(p.numel() for p in m.parameters())
                for arm, m in arms
            }
            parts |= {key: size for key, size in sizes.items() if size}
    return {"trainable": trainable, "frozen": total - trainable, **parts}
