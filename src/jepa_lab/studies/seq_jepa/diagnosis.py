"""The diagnosis of a seq-JEPA run, or of any folder with such metrics."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.report.diagnosis import Composes, Diagnosis, diagnose_run
from jepa_lab.report.next_commands import investigation_of


def diagnose(folder: Path, composes: Composes) -> Diagnosis:
    """Reads the folder and returns its diagnosis, with the command of an investigation for a run
    whose command line still composes. Raises UserError if the metrics are missing or broken."""
    own = read_command_line(folder)
    known = own is not None and composes(own)
    return diagnose_run(folder, Remedies(), composes, investigation_of(folder) if known else None)
