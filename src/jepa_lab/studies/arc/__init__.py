"""The study of the ARC JEPA on tasks of the Abstraction and Reasoning Corpus, with a codebook."""

from jepa_lab.studies.entry import StudyEntry

_HERE = "jepa_lab.studies.arc"
ENTRY = StudyEntry(
    "arc",
    config_at=f"{_HERE}.config:ArcConfig",
    planner_at=f"{_HERE}.resume:PLANNER",
    study_at=f"{_HERE}.study:STUDY",
    diagnose_at=f"{_HERE}.diagnosis:diagnose",
    candidates_at=f"{_HERE}.candidates:candidates",
    idle_keys_at=f"{_HERE}.idle_keys:idle_keys",
    statistics_at=f"{_HERE}.statistics:STATISTICS",
)
