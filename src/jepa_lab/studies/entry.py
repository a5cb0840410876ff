"""Where the parts of a study lie. Each is imported when it is asked for: some import torch, some
Lightning too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from jepa_lab.config.run_config import RunConfig
    from jepa_lab.ledger.parquet import History
    from jepa_lab.studies.statistic import Statistic
    from jepa_lab.training.plan import Planner
    from jepa_lab.training.study import Study


@dataclass(frozen=True)
class StudyEntry:
    """The places, as package.module:name, of a study's configuration class, planner, study and
    reader of diagnoses.

    table: the file in a run's folder that holds its numbers; history: what reads it; statistics:
    those that claims can be about, besides the ones of every study; reports: by the name in
    sweep.report, what a sweep of the study ends with; investigate: what `jepa_lab.diagnose
    --investigate` calls. "" where the study has none.
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
    investigate_at: str = ""

    @property
    def config(self) -> type[RunConfig]:
        """The class of its configurations. Imports no torch."""
        found: type[RunConfig] = load(self.config_at)
        return found

    @property
    def planner(self) -> Planner:
        """What its runs would do. Imports torch, not Lightning."""
        found: Planner = load(self.planner_at)
        return found

    @property
    def study(self) -> Study:
        """What its runs do."""
        found: Study = load(self.study_at)
        return found

    def history(self, folder: Path) -> History:
        """{metric: (step, value) pairs} of a run's folder. UserError for a table that cannot be
        read."""
        found: History = load(self.history_at)(folder)
        return found

    @property
    def statistics(self) -> Mapping[str, Statistic]:
        """The statistics of its runs by name."""
        return load(self.statistics_at) if self.statistics_at else {}


def load(place: str) -> Any:
    """The object at package.module:name."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
