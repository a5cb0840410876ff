"""Composing overrides without running them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import jepa_lab.cli.job  # noqa: F401 - registers the resolvers
from jepa_lab.cli.messages import one_line
from jepa_lab.cli.overrides import with_folder
from jepa_lab.config.extensions import own_code
from jepa_lab.config.groups import conf_dir
from jepa_lab.errors import UserError
from jepa_lab.sweep.ladder import checked_rungs


def composed(words: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """What the overrides compose to, not checked. UserError for what Hydra cannot compose."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", with_folder(words, config_dir, itself=True))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error)) from error


def checked(words: Sequence[str], config_dir: str | None = None) -> Any:
    """The checked configuration of the overrides, of a ladder the last one. UserError."""
    return checked_rungs(composed(words, config_dir))[-1]


def composes(words: Sequence[str], config_dir: str | None = None) -> bool:
    """Whether overrides from a file compose to a configuration that is right. No code of a user's
    own is imported: with such code the overrides only have to compose."""
    try:
        cfg = composed(words, config_dir)
        if not own_code(cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=False))):
            checked_rungs(cfg)
    except UserError:
        return False
    return True


def as_data(words: Sequence[str], config_dir: str | None = None) -> dict[str, Any] | None:
    """The same as plain data; None for overrides that do not compose, or not to a configuration
    that is right."""
    try:
        return asdict(checked(words, config_dir))
    except UserError:
        return None
