"""Keys without effect in a configuration, of those that every trained JEPA has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import Any

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.config.tree import flatten


def idle_keys_of_jepa(config: JepaConfig) -> dict[str, str]:
    """Returns {key: reason} of the keys without effect on a run of the checked configuration."""
    return {
        **_of_groups(config),
        **dict(_of_tiers(config)),
        **dict(_of_experiment_gates(config)),
        **_of_aux(config),
    }


def _of_groups(config: JepaConfig) -> dict[str, str]:
    optim, target = config.optim, config.target
    idle: dict[str, str] = {}
    if optim.schedule != "cosine":
        idle["optim.lr_min"] = "only optim.schedule=cosine reads it"
    if optim.warmup_epochs is not None:
        idle["optim.warmup"] = f"optim.warmup_epochs={optim.warmup_epochs:g} replaces it"
    if target.name != "ema":
        idle |= dict.fromkeys(("target.memory", "target.schedule"), "only target=ema has it")
    elif target.tau is not None:
        idle["target.memory"] = f"target.tau={target.tau:g} replaces it"
    if config.logger.name != "wandb":
        idle |= dict.fromkeys(("logger.project", "logger.offline"), "only logger=wandb reads it")
    return idle


def _of_tiers(config: JepaConfig) -> Iterator[tuple[str, str]]:
    """Yields the budgets of other tiers, and parts of the run's own budget that other keys
    replace."""
    for tier, budget in getattr(config.dataset, "tiers", {}).items():
        for name, value in flatten(asdict(budget)):
            key = f"dataset.tiers.{tier}.{name}"
            if tier != config.tier.name:
                yield key, f"tier={config.tier.name} has a budget of its own"
            elif name.startswith("gates."):
                yield from _of_gate(config, key, name.removeprefix("gates."), value)
            elif (used := getattr(config.dataset, name, value)) != value:
                yield key, f"dataset.{name}={_text(used)} replaces it"


def _of_experiment_gates(config: JepaConfig) -> Iterator[tuple[str, str]]:
    for dataset, tiers in config.experiment_gates.items():
        for tier, gates in tiers.items():
            for name, limit in gates.items():
                key = f"experiment_gates.{dataset}.{tier}.{name}"
                if dataset != config.dataset.name:
                    yield key, f"dataset={config.dataset.name} has gates of its own"
                elif tier != config.tier.name:
                    yield key, f"tier={config.tier.name} has gates of its own"
                else:
                    yield from _of_gate(config, key, name, limit)


def _of_gate(config: JepaConfig, key: str, name: str, limit: Any) -> Iterator[tuple[str, str]]:
    used = getattr(config.gates, name)
    if used != limit:
        yield key, f"gates.{name}={_text(used)} replaces it"


def _of_aux(config: JepaConfig) -> dict[str, str]:
    """Returns the keys of losses of weight 0, which are not computed. The coding rate of a seq-JEPA
    is none of them, since its objective may weigh it too."""
    return {
        f"aux.{name}.{f.name}": f"aux.{name}.weight=0"
        for name, options in config.aux.items()
        if options.weight == 0 and options.regulariser != "coding_rate"
        for f in fields(options)
        if f.name not in ("weight", "_target_")
    }


def _text(value: Any) -> str:
    return "null" if value is None else f"{value:g}"
