"""train(config): the run of a checked configuration, by the study that the configuration names."""

from __future__ import annotations

from typing import Any

from jepa_lab.config.run_config import RunConfig
from jepa_lab.studies import find
from jepa_lab.training import run
from jepa_lab.training.run import RunResult


def train(config: RunConfig, **options: Any) -> RunResult:
    """`training.run.train` with the configuration's own study; the options are its keywords."""
    return run.train(find(config.study).study, config, **options)
