"""Configurations of the toy, composed once for each experiment: composing takes longer than a tiny
training."""

from __future__ import annotations

from functools import cache

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from jepa_lab.config.groups import conf_dir
from jepa_lab.studies import checked
from jepa_lab.studies.linear_byol.config import ToyConfig


@cache
def composed(experiment: str) -> DictConfig:
    """The experiment as Hydra hands it over."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", [f"+experiment={experiment}", "hardware=cpu"])


def configure(*words: str, experiment: str = "linear_byol") -> ToyConfig:
    """Checked, with key=value words. UserError as the command line gives it."""
    merged = OmegaConf.merge(composed(experiment), OmegaConf.from_dotlist(list(words)))
    assert isinstance(merged, DictConfig)
    return checked(merged)
