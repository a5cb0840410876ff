"""What `jepa_lab.diagnose` does: the report on features, on a run, or on an investigation of one.
What `jepa_lab.diagnose` does: the report on features, on a run, or on an investigation of one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError, say
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.report.diagnosis import diagnosis_text
from jepa_lab.studies import study_of_run
from jepa_lab.studies.entry import load

Report = tuple[str, dict[str, Any]]  # as text, and as plain data


def report_on(path: Path, rules: str) -> Report:
    """The report on a run's folder, a table in it, or a file of features. UserError for anything
    else."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give a run's folder or an .npz")
    if path.is_file() and path.suffix != ".parquet":
        from jepa_lab.report.features import features_report  # start-up: torch

        return features_report(path, rules)
    return run_report(path if path.is_dir() else path.parent, rules)


def run_report(folder: Path, rules: str) -> Report:
    """The report on a run, also written into its folder as diagnosis.json where that is possible.
    The report on a run, also written into its folder as diagnosis.json where that is possible."""
    diagnosis = load(study_of_run(folder).diagnose_at)(folder, composes)
    content, target = diagnosis.to_dict(), diagnosis.path / "diagnosis.json"
    text = diagnosis_text(diagnosis, rules)
    try:
        write_json(target, content)
        text += f"\n\nwritten: {target}"
    except OSError as error:  # somebody else's folder: what was asked for is on the screen
        say(f"{target}: not written ({error.strerror})")
    return text, content


def composes(line: CommandLine) -> bool:
    """Whether a command line composes to a configuration that is right. One that names code of a
    user's own is composed and not checked: that would import what a run's file names."""
    from jepa_lab.cli.compose import composes  # start-up: Hydra

    return composes(line.overrides, line.config_dir)


def investigate(args: argparse.Namespace) -> tuple[Report, int]:
    """The report of an investigation and its exit code: 0 answered, 1 not repaired within the
    limits, 130 interrupted. UserError for a run whose study has none."""
    entry = study_of_run(args.path)
    if not entry.investigate_at:
        raise UserError(
            f"{args.path}: a run of the {entry.config.title}, whose study has no --investigate"
        )

    def tell(line: str) -> None:
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)

    from jepa_lab.cli.compose import as_data  # start-up: Hydra

    outcome = load(entry.investigate_at)(args, as_data, tell)
    return (outcome.text(), outcome.content), outcome.code
