"""The study seq-JEPA: sequences of views of an image, with probes and an evaluation."""

from jepa_lab.studies.entry import StudyEntry

_HERE = "jepa_lab.studies.seq_jepa"
ENTRY = StudyEntry(
    "seq_jepa",
    config_at=f"{_HERE}.config:Config",
    planner_at=f"{_HERE}.resume:PLANNER",
    study_at=f"{_HERE}.study:STUDY",
    diagnose_at=f"{_HERE}.diagnosis:diagnose",
    candidates_at=f"{_HERE}.candidates:candidates",
    idle_keys_at=f"{_HERE}.idle_keys:idle_keys",
    reports={"views_grid": f"{_HERE}.views_grid:views_grid"},
)
