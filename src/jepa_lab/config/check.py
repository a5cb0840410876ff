"""From the composed configuration to a typed one, or to one line that says what is wrong with it."""

from __future__ import annotations

import difflib
import os
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from jepa_lab.config.schema import Config
from jepa_lab.errors import UserError


def check(cfg: DictConfig | dict[str, Any]) -> Config:
    """The configuration with types and ranges checked and the thread count written in. Raises UserError."""
    try:
        if not isinstance(cfg, DictConfig):
            cfg = OmegaConf.create(cfg)
        _require_mappings(cfg)
        _require_tier(cfg)
        merged = OmegaConf.merge(OmegaConf.structured(Config), cfg)
        missing = sorted(OmegaConf.missing_keys(merged))
        if "name" in missing:
            raise UserError("no experiment was named: add one, as in +experiment=teacherless_b (--help lists them)")
        if missing:
            raise UserError(f"{missing[0]} is missing: it has no default")
        config = OmegaConf.to_object(merged)
        assert isinstance(config, Config)
        config.validate()
    except OmegaConfBaseException as error:
        raise UserError(describe(error)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.hardware.threads is None:
        config.hardware.threads = available_cores()
    return config


def to_yaml(config: Config) -> str:
    """The configuration as YAML, every derived value written down."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def available_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def describe(error: OmegaConfBaseException) -> str:
    """One line for an error of omegaconf: the key, and the nearest valid name if it is unknown."""
    key = str(getattr(error, "full_key", None) or getattr(error, "key", None) or "")
    if isinstance(error, (ConfigAttributeError, ConfigKeyError)):
        parent = getattr(error, "parent_node", None)
        names = [str(k) for k in parent] if parent is not None else []
        return f"{key}: no such key{nearest(key.rsplit('.', 1)[-1], names)}"
    text = str(error).split("\n", 1)[0].strip()
    return f"{key}: {text}" if key and key not in text else text


def nearest(name: str, candidates: list[str]) -> str:
    """'; did you mean ...?' for the closest candidate, or the list of them where it is short, or nothing."""
    close = difflib.get_close_matches(name, candidates, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; one of {', '.join(sorted(candidates))}" if 0 < len(candidates) <= 12 else ""


def _require_tier(cfg: DictConfig) -> None:
    tiers = sorted(str(name) for name in cfg.dataset.get("tiers", {}))
    if str(cfg.tier.name) not in tiers:
        raise UserError(f"tier={cfg.tier.name}: dataset={cfg.dataset.name} has {', '.join(tiers)}")


def _require_mappings(cfg: DictConfig) -> None:
    for name in ("model", "encoder", "target", "loss", "dataset", "optim", "precision", "hardware", "tier", "logger"):
        if name in cfg and not isinstance(cfg[name], DictConfig):
            raise UserError(f"{name}={cfg[name]}: expected an option of the group {name} (--help lists them)")
        if name not in cfg:
            raise UserError(f"{name}: the group is missing from the configuration")
