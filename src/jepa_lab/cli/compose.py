"""Composes overrides into a configuration without running it."""

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


def composed(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Returns the configuration that the overrides compose to, unchecked. Raises UserError if Hydra
    cannot compose it."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", with_folder(overrides, config_dir, itself=True))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error)) from error


def checked(overrides: Sequence[str], config_dir: str | None = None) -> Any:
    """Returns the checked configuration of the overrides. For tier=ladder it is that of the last
    rung. Raises UserError if it is invalid."""
    return checked_rungs(composed(overrides, config_dir))[-1]


def composes(overrides: Sequence[str], config_dir: str | None = None) -> bool:
    """Returns whether overrides from a file compose to a valid configuration.

    User-defined code is not imported. Overrides that name such code only have to compose.
    """
    try:
        cfg = composed(overrides, config_dir)
        if not own_code(cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=False))):
            checked_rungs(cfg)
    except UserError:
        return False
    return True


def as_data(overrides: Sequence[str], config_dir: str | None = None) -> dict[str, Any] | None:
    """Returns the checked configuration as plain data, None if the overrides do not compose or are
    invalid."""
    try:
        return asdict(checked(overrides, config_dir))
    except UserError:
        return None
