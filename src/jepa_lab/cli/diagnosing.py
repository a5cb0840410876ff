"""The work of `jepa_lab.diagnose`: reports on features, on a log, on a run, or on the investigation
of a run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lab.config.trust import Trust
from jepa_lab.errors import UserError, say
from jepa_lab.ledger.atomic import remove_leftovers, write_json
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.report.bundle import redaction_here, write_bundle
from jepa_lab.report.diagnosis import diagnosis_text
from jepa_lab.report.log_report import log_report
from jepa_lab.report.sources import require_file_or_folder, source_of
from jepa_lab.studies import study_of_run
from jepa_lab.studies.entry import load

Report = tuple[str, dict[str, Any]]  # the text, and the same content as plain data


def report_on(paths: Path | Sequence[Path], rules: str) -> Report:
    """Returns the report on a run's folder, on a run's table in that folder, on a log of other
    code, on a file of features, or on several of them in order. Raises UserError for any other
    path."""
    source = source_of([paths] if isinstance(paths, Path) else paths)
    if source.run is not None:
        return run_report(source.run, rules)
    if source.log is not None:
        return log_report(source.log, rules)
    if len(source.features) > 1:
        from jepa_lab.report.feature_series import series_report  # imports torch, which is slow

        return series_report(source.features, rules)
    from jepa_lab.report.features import features_report  # imports torch, which is slow

    return features_report(source.features[0], rules)


def run_report(folder: Path, rules: str) -> Report:
    """Returns the report on a run. Also writes it into the run's folder as diagnosis.json if
    possible."""
    diagnosis = load(study_of_run(folder).diagnose_at)(folder, composes)
    content, target = diagnosis.to_dict(), diagnosis.path / "diagnosis.json"
    text = diagnosis_text(diagnosis, rules)
    try:
        remove_leftovers(target.parent)
        write_json(target, content)
        text += f"\n\nwritten: {target}"
    except OSError as error:  # e.g. a read-only folder; the report is printed all the same
        say(f"{target}: not written ({error.strerror})")
    return text, content


def bundle(paths: Sequence[Path], rules: str, out: Path | None) -> Report:
    """Returns the report as `report_on` does, after writing a zip for others to look at. Without
    `out` the zip is named after the path and lies in the working directory. Raises UserError for a
    path that cannot be reported on."""
    source = source_of(paths)
    text, content = report_on(paths, rules)
    stem = (source.run or paths[0]).resolve().name.removesuffix(paths[0].suffix)
    place = out or Path(f"jepa-lab-{stem or 'report'}.zip")
    written = write_bundle(place, text, content, source.run, redaction_here())
    text += f"\nbundle:  {place} ({', '.join(written)}); look through it before you give it away"
    return text, content


def one_path(paths: Sequence[Path]) -> Path:
    """Returns the only path, of a run to investigate. Raises UserError for several, and for a pipe
    or a device."""
    if len(paths) > 1:
        raise UserError(f"--investigate reads one run; {len(paths)} paths were given")
    require_file_or_folder(paths[0])
    return paths[0]


def composes(line: CommandLine) -> bool:
    """Returns whether a command line composes to a valid configuration.

    The command line is from a run's file. One that names user-defined code is composed but not
    checked, since the check would import that code. One that names a folder or calls a resolver is
    not even composed, and counts as valid.
    """
    from jepa_lab.cli.compose import composes, reads_ours_only  # imports Hydra, which is slow

    return not reads_ours_only(line.overrides, line.config_dir) or composes(line.overrides)


def reported(args: argparse.Namespace) -> Report:
    """Returns the report that the options describe, with its zip if it is wanted."""
    if args.bundle is None:
        return report_on(args.paths, args.rules)
    return bundle(args.paths, args.rules, args.bundle if args.bundle != Path() else None)


def investigation_of(args: argparse.Namespace) -> tuple[Report, int]:
    """Returns the report of an investigation and its exit code.

    The code is 0 if the question is answered or the run did not fail, 1 if the run is not repaired
    within the limits, and 130 if interrupted. Raises UserError for a run whose study has no
    investigation.
    """
    if args.bundle is not None:
        raise UserError("--bundle and --investigate are two commands; investigate first")
    entry = study_of_run(args.path)
    if not entry.candidates_at:
        raise UserError(
            f"{args.path}: a run of the {entry.config.title}, whose study has no --investigate"
        )

    def print_line(line: str) -> None:
        print(line, file=sys.stderr if args.json else sys.stdout, flush=True)

    from jepa_lab.cli.compose import as_data, reads_ours_only  # imports Hydra, which is slow

    def compose(overrides: Sequence[str], config_dir: str | None) -> dict[str, Any] | None:
        named = args.config_dir is not None and args.config_dir.resolve() == Path(config_dir or "")
        if not reads_ours_only(overrides, None if named or args.trust else config_dir):
            return None
        return as_data(overrides, config_dir, Trust(bool(args.trust), args.config_dir))

    from jepa_lab.training.investigation import Subject, investigate  # imports Lightning

    subject = Subject(entry.study, entry.config, load(entry.candidates_at), entry.history)
    outcome = investigate(subject, args, compose, print_line)
    return (outcome.text(), outcome.content), outcome.code
