"""The diagnosis of a run of the ARC JEPA, which also suggests an investigation."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.report.diagnosis import Composes, Diagnosis, diagnose_run
from jepa_lab.report.next_commands import investigation_of
from jepa_lab.studies.arc.remedies import ArcRemedies


def diagnose(folder: Path, composes: Composes) -> Diagnosis:
    """Returns the diagnosis of the run in `folder`. Raises UserError if its metrics are missing or
    broken."""
    return diagnose_run(folder, ArcRemedies(), composes, investigation_of(folder))
