"""The diagnosis of a run of seq-JEPA, or of any folder with the metrics of one."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.report.diagnosis import Composes, Diagnosis, diagnose_run


def diagnose(folder: Path, composes: Composes) -> Diagnosis:
    """Reads the folder and judges it. UserError for a folder that holds no metrics, or broken
    ones."""
    return diagnose_run(folder, Remedies(), composes)
