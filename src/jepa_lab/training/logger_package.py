"""Refuses a logger whose package is missing. Imports no Lightning."""

from __future__ import annotations

from importlib.util import find_spec

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.errors import UserError, to_install


def require_logger(config: JepaConfig) -> None:
    """Raises UserError for a logger whose package is missing."""
    if config.logger.name == "tensorboard" and find_spec("tensorboard") is None:
        raise UserError(f"logger=tensorboard: not installed; {to_install('tensorboard')}")
