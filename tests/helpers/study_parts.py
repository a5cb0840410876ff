"""The parts of a configuration's study that tests use: its data, and the objects that it builds."""

from __future__ import annotations

from typing import Any

from jepa_lab.studies import find


def load_data(config: Any) -> Any:
    """Returns the data of a run."""
    return find(config.study).planner.load(config)


def prepare(config: Any, data: Any) -> Any:
    """Returns loaders, budget and module, built from seeded random streams."""
    return find(config.study).study.prepare(config, data)
