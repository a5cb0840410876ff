"""Registers the resolvers of the configuration files."""

from __future__ import annotations

import hashlib
import sys

from omegaconf import OmegaConf

import jepa_lab.config.gates  # noqa: F401 - registers its resolver


def _sweep_id() -> str:
    """Returns a hash of the overrides that define the sweep.

    Overrides that only set how it is run (limits, launchers, on_existing) do not count, so the same
    sweep always has the same id.
    """
    other = ("-", "hydra", "max_wall_s=", "sweep.", "on_existing=")
    overrides = sorted(a for a in sys.argv[1:] if not a.startswith(other))
    return hashlib.blake2b("\n".join(overrides).encode(), digest_size=5).hexdigest()


OmegaConf.register_new_resolver("sweep_id", _sweep_id, use_cache=True, replace=True)
