"""The diagnosis of a run of the ARC JEPA: beside what all runs have, the investigation of one that
failed."""

from __future__ import annotations

import shlex
from pathlib import Path

from jepa_lab.report.diagnosis import Composes, Diagnosis, diagnose_run
from jepa_lab.studies.arc.remedies import ArcRemedies


def diagnose(folder: Path, composes: Composes) -> Diagnosis:
    """Reads the folder and judges it. UserError for a folder that holds no metrics, or broken
    ones."""
    investigation = f"python -m jepa_lab.diagnose {shlex.quote(str(folder))} --investigate"
    return diagnose_run(folder, ArcRemedies(), composes, investigation)
