"""The diagnosis of a seq-JEPA run, or of any folder with such metrics."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.report.diagnosis import Composes, Diagnosis, diagnose_run


def diagnose(folder: Path, composes: Composes) -> Diagnosis:
    """Reads the folder and returns its diagnosis. Raises UserError if the metrics are missing or
    broken."""
    return diagnose_run(folder, Remedies(), composes)
