"""Checks keys of Hydra that it would use too late, once files of a sweep are written."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterable
from typing import Any

from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.config.tree import leaves
from jepa_lab.errors import UserError

OF_A_SWEEP = (
    *("hydra/launcher=", "hydra.launcher.", "hydra/sweeper=", "hydra.sweeper.", "hydra.sweep."),
)


def require_keys_of_hydra(hydra: DictConfig) -> None:
    """Raises UserError for jobs that change the working directory, and for a job_logging that
    cannot be set up. `hydra` is the node of a composed configuration. Logging stays set up as for a
    job; the launchers set it up again."""
    require_no_chdir(hydra)
    for name, level in leaves(_plain(hydra.job_logging)):
        if name.rpartition(".")[2] == "level" and not _is_level(level):
            raise UserError(
                f"hydra.job_logging.{name}={level}: expected a level of logging, as INFO or DEBUG"
            )
    try:
        configure_log(_without_files(hydra.job_logging))
    except (ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        why = f" ({error.__cause__})" if error.__cause__ else ""
        raise UserError(f"hydra.job_logging: {error}{why}") from error
    except OmegaConfBaseException as error:
        raise UserError(f"hydra.job_logging: {str(error).splitlines()[0]}") from error


def require_no_chdir(hydra: Any) -> None:
    """Raises UserError if jobs would run in a folder of their own."""
    if hydra.job.chdir:
        raise UserError(
            f"hydra.job.chdir={str(hydra.job.chdir).lower()}: a run keeps the working directory,"
            " from which runs_dir and the paths of data are read; leave it out"
        )


def refuse_in_a_run(overrides: Iterable[str]) -> None:
    """Raises UserError for an override of Hydra that only a sweep reads."""
    for override in overrides:
        if override.lstrip("+").startswith(OF_A_SWEEP):
            raise UserError(f"{override}: applies to a sweep, but this is a single run; add -m")


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node


def _is_level(level: Any) -> bool:
    """Returns whether logging takes the level, or it is an interpolation."""
    if isinstance(level, str):
        return level in logging.getLevelNamesMapping() or "${" in level
    return level is None or (isinstance(level, int) and not isinstance(level, bool))


def _without_files(node: DictConfig) -> DictConfig:
    """Returns a job_logging whose handlers open no file."""
    alike = copy.deepcopy(node)  # keeps its place, for its interpolations
    with flag_override(alike, ["readonly", "struct"], False):
        for handler in (alike.get("handlers") or {}).values():
            if "filename" in handler:
                handler.filename = os.devnull
    return alike
