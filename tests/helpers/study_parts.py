"""What tests ask of the study of a configuration: its data, and what it builds."""

from __future__ import annotations

from typing import Any

from jepa_lab.studies import find


def load_data(config: Any) -> Any:
    """The data of a run."""
    return find(config.study).planner.load(config)


def prepare(config: Any, data: Any) -> Any:
    """Loaders, budget and module, on seeded streams."""
    return find(config.study).study.prepare(config, data)
