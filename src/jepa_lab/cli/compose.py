"""Composes overrides into a configuration without running it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import jepa_lab.cli.resolvers  # noqa: F401 - registers the resolvers
from jepa_lab.cli.arguments import check_options
from jepa_lab.cli.messages import one_line
from jepa_lab.cli.overrides import with_folder
from jepa_lab.config.groups import conf_dir, groups_of
from jepa_lab.config.trust import NOBODY, Trust, own_code, targets
from jepa_lab.errors import UserError
from jepa_lab.ledger.command_line import ONE_RUN
from jepa_lab.sweep.ladder import checked_rungs

REFERENCE = re.compile(r"\$\{[A-Za-z_][\w.]*\}")


def composed(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Returns the configuration that the overrides compose to, unchecked. Raises UserError if Hydra
    cannot compose it."""
    check_options(overrides)
    every = with_folder(overrides, config_dir, itself=True)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("config", every)
    # Hydra lets errors of other types pass, for example of a key that is too long for a file name
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, OSError) as error:
        raise UserError(one_line(error)) from error
    except RecursionError:
        raise UserError("an entry of the defaults leads back to itself; remove it") from None


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
        if not own_code(_plain(cfg)):
            checked_rungs(cfg)
    except UserError:
        return False
    return True


def reads_ours_only(overrides: Sequence[str], config_dir: str | None = None) -> bool:
    """Returns whether composing the overrides reads no file outside conf/, imports nothing and
    resolves no environment variable. Overrides from a run's file are composed only if it does."""
    groups = frozenset(groups_of(conf_dir()))
    return config_dir is None and all(_reads_ours_only(one, groups) for one in overrides)


def _reads_ours_only(override: str, groups: frozenset[str]) -> bool:
    key, _, value = override.lstrip("+~").partition("=")
    key = key.partition("@")[0]
    if key.startswith("hydra"):
        return override == ONE_RUN
    if key in groups:  # its value is the name of a file
        return ".." not in value and "$" not in value
    if "/" in key or ".." in key:
        return False
    # ${a.b} copies a value; any other form calls a resolver, such as oc.env
    return "${" not in REFERENCE.sub("", value)


def as_data(
    overrides: Sequence[str], config_dir: str | None = None, trust: Trust = NOBODY
) -> dict[str, Any] | None:
    """Returns the checked configuration of overrides from a file as plain data.

    None if they do not compose, are invalid, or name a class that `trust` does not allow.
    """
    try:
        cfg = composed(overrides, config_dir)
        if not all(trust.allows(target) for target in targets(_plain(cfg)).values()):
            return None
        return asdict(checked_rungs(cfg)[-1])
    except UserError:
        return None


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return cast("dict[str, Any]", OmegaConf.to_container(cfg, resolve=False))
