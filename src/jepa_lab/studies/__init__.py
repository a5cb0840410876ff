"""The studies by the name in a configuration. An external study is an installed package with an
entry point in the group `jepa_lab.studies`. The entry point names its `StudyEntry`, see
docs/extending.md."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from jepa_lab.config.check import check
from jepa_lab.config.shared_check import SharedCheck
from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.finished_run import USUAL_STUDY
from jepa_lab.ledger.read import read_yaml
from jepa_lab.studies.arc import ENTRY as ARC
from jepa_lab.studies.entry import StudyEntry
from jepa_lab.studies.linear_byol import ENTRY as LINEAR_BYOL
from jepa_lab.studies.seq_jepa import ENTRY as SEQ_JEPA

BUILT_IN = (SEQ_JEPA, ARC, LINEAR_BYOL)


@cache
def studies() -> dict[str, StudyEntry]:
    """Returns {name: study}. A built-in study wins over an external one of the same name."""
    others = (point.load() for point in entry_points(group="jepa_lab.studies"))
    return {entry.name: entry for entry in (*others, *BUILT_IN)}


def find(name: Any) -> StudyEntry:
    """Returns the study of that name, or the default study for None. Raises UserError for an
    unknown name."""
    known = studies()
    if name is None:
        return known[USUAL_STUDY]
    if not isinstance(name, str) or name not in known:
        raise UserError(f"study={name}: no such study{nearest(str(name), known)}")
    return known[name]


def checked(cfg: DictConfig | dict[str, Any], shared: SharedCheck | None = None) -> Any:
    """Returns the configuration as its study's dataclass, checked, by `shared` if it is given.
    Raises UserError if it is not valid."""
    kind = find(cfg.get("study")).config
    others = [entry.config for entry in studies().values() if entry.config is not kind]
    if shared is not None and isinstance(cfg, DictConfig):
        return shared.check(cfg, kind, others)
    return check(cfg, kind, others)


def study_of_run(folder: Path) -> StudyEntry:
    """Returns the study of a run's folder, by its config.yaml or else by the file that holds its
    metrics. Raises UserError for an unknown study."""
    config = read_yaml(folder / "config.yaml")
    if config:
        return find(config.get("study"))
    by_table = (entry for entry in studies().values() if (folder / entry.table).is_file())
    return next(by_table, studies()[USUAL_STUDY])
