"""The locations of a study's parts. Each part is imported on first use, since some import torch or
Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jepa_lab.process.ranks import numeric_ranks

if TYPE_CHECKING:
    from pathlib import Path

    from jepa_lab.config.run_config import RunConfig
    from jepa_lab.ledger.parquet import History
    from jepa_lab.studies.statistic import Statistic
    from jepa_lab.training.resume import Planner
    from jepa_lab.training.study import Study


@dataclass(frozen=True)
class StudyEntry:
    """The locations, as package.module:name, of a study's configuration class, planner, study and
    diagnosis.

    `table` is the file in a run's folder that holds its metrics, and `history_at` locates its
    reader. `statistics_at` locates the statistics for claims that only this study has. `reports`
    maps names in sweep.report to functions that run at the end of a sweep. `candidates_at` locates
    the function that maps the findings of a failed run and its configuration to the changes that
    `jepa_lab.diagnose --investigate` tries, the likeliest first. `idle_keys_at` locates the
    function that maps a checked configuration to {key: reason} of its keys without effect. An empty
    string means that the study has no such part.
    """

    name: str
    config_at: str
    planner_at: str
    study_at: str
    diagnose_at: str
    table: str = "metrics.parquet"
    history_at: str = "jepa_lab.ledger.parquet:history_of"
    statistics_at: str = ""
    reports: Mapping[str, str] = field(default_factory=dict)
    candidates_at: str = ""
    idle_keys_at: str = ""

    @property
    def config(self) -> type[RunConfig]:
        """The class of the study's configurations. Its import needs no torch."""
        config: type[RunConfig] = load(self.config_at)
        return config

    @property
    def planner(self) -> Planner:
        """The planner of the study's runs. Its import needs torch, not Lightning."""
        planner: Planner = load(self.planner_at)
        return planner

    @property
    def study(self) -> Study:
        """The study that trains the runs."""
        study: Study = load(self.study_at)
        return study

    def idle_keys(self, config: Any) -> dict[str, str]:
        """Returns {key: reason} of the keys without effect in a checked configuration."""
        idle: dict[str, str] = load(self.idle_keys_at)(config) if self.idle_keys_at else {}
        return idle

    def history(self, folder: Path) -> History:
        """Returns {metric: (step, value) pairs} of a run's folder. Raises UserError if the file
        cannot be read."""
        history: History = load(self.history_at)(folder)
        return history

    @property
    def statistics(self) -> Mapping[str, Statistic]:
        """The statistics that only this study has, by name."""
        return load(self.statistics_at) if self.statistics_at else {}


def load(place: str) -> Any:
    """Imports the object at package.module:name."""
    module, _, name = place.partition(":")
    with numeric_ranks():
        return getattr(import_module(module), name)
