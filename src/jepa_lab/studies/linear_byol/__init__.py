"""The linear BYOL toy: a population of runs that one process trains together, compared with the
closed-form solution."""

from jepa_lab.studies.entry import StudyEntry

_HERE = "jepa_lab.studies.linear_byol"
ENTRY = StudyEntry(
    "linear_byol",
    config_at=f"{_HERE}.config:ToyConfig",
    planner_at=f"{_HERE}.resume:PLANNER",
    study_at=f"{_HERE}.study:STUDY",
    diagnose_at=f"{_HERE}.examination:diagnose",
    candidates_at=f"{_HERE}.candidates:candidates",
    idle_keys_at=f"{_HERE}.idle_keys:idle_keys",
    table="linear_byol.parquet",
    history_at=f"{_HERE}.table:history_of",
    statistics_at=f"{_HERE}.statistics:STATISTICS",
)
