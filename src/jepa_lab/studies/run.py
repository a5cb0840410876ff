"""train(config): trains a run with the study that its checked configuration names."""

from __future__ import annotations

from typing import Any

from jepa_lab.config.run_config import RunConfig
from jepa_lab.studies import find
from jepa_lab.training import run
from jepa_lab.training.run import RunResult


def train(config: RunConfig, **options: Any) -> RunResult:
    """Calls `training.run.train` with the configuration's own study. `options` are its keyword
    arguments."""
    return run.train(find(config.study).study, config, **options)
