"""Configurations of the toy. Each experiment is composed once, because composing takes longer than
a tiny training."""

from __future__ import annotations

from functools import cache

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from jepa_lab.config.groups import conf_dir
from jepa_lab.studies import checked
from jepa_lab.studies.linear_byol.config import ToyConfig


@cache
def composed(experiment: str) -> DictConfig:
    """Returns the experiment's configuration as Hydra composes it."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", [f"+experiment={experiment}", "hardware=cpu"])


def configure(*overrides: str, experiment: str = "linear_byol") -> ToyConfig:
    """Returns the validated configuration with key=value overrides. Raises UserError as the command
    line does."""
    merged = OmegaConf.merge(composed(experiment), OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(merged, DictConfig)
    return checked(merged)
