"""Suggests the next commands: the command line that the run has stored, with a change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lab.config.statuses import failed
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import Remedies, resolved
from jepa_lab.ledger.command_line import CommandLine, read_command_line

MOST = 4  # suggestions
MORE_SEEDS = 3  # seeds in the suggested repetition, including the seed of the run
EVALUATE = "python -m jepa_lab.evaluate"
INVESTIGATE = "--investigate"


def next_commands(
    run_dir: Path,
    config: Mapping[str, Any],
    findings: Sequence[Finding],
    state: str,
    remedies: Remedies,
    composes: Callable[[CommandLine], bool],
    investigation: str | None = None,
) -> list[str]:
    """Returns command lines to try, the most promising first.

    For a run without failures: more seeds and the frozen evaluation. For a run that ended early
    without failures: its own command line, which resumes it. For a run with failures: its command
    line with one change each, if that composes, and last the `investigation` if its study has one.
    Without a stored command line that composes only the evaluation and the investigation remain.
    """
    own = read_command_line(run_dir)
    investigate = (
        [investigation]
        if investigation and any(failed(finding.status) for finding in findings)
        else []
    )
    if findings:
        lines = [] if own is None else _changed(own, config, findings, remedies, composes)
        return [*lines, *investigate]
    if state == "running":
        return []
    if own is not None and not composes(own):  # of an older version, for example
        own = None
    if state in ("killed", "stopped", "failed"):
        return [] if own is None else [own.text()]
    evaluation = [f"{EVALUATE} {shlex.quote(str(run_dir))}"] if remedies.evaluates else []
    if own is None or own.sweeps_by_itself:  # such a sweep chooses its seeds itself
        return evaluation
    return [more_seeds(own, config), *evaluation]


def investigation_of(run_dir: Path) -> str:
    """Returns the command that investigates a failed run."""
    return f"python -m jepa_lab.diagnose {shlex.quote(str(run_dir))} {INVESTIGATE}"


def purpose(command: str, own: CommandLine | None) -> str:
    """Returns what a suggested command is for. `own` is the command line of the run."""
    words = shlex.split(command)
    if INVESTIGATE in words:
        return "Find which single change prevents the failure, by runs that branch off before it:"
    if command.startswith(EVALUATE):
        return "Evaluate the frozen encoder:"
    known = [] if own is None else shlex.split(own.text())
    changes = " ".join(word for word in words if word not in known and word != "-m")
    if not changes:
        return "Resume the run:"
    return f"Repeat the run with {changes}{' to see how far seeds differ' * ('-m' in words[3:4])}:"


def more_seeds(own: CommandLine, config: Mapping[str, Any]) -> str:
    """Returns the command line that runs the seed of the run and the seeds that follow it."""
    seed = config.get("seed")
    first = seed if isinstance(seed, int) else 0
    return own.changed([f"seed={','.join(str(first + i) for i in range(MORE_SEEDS))}"]).text("-m")


def _changed(
    own: CommandLine,
    config: Mapping[str, Any],
    findings: Sequence[Finding],
    remedies: Remedies,
    composes: Callable[[CommandLine], bool],
) -> list[str]:
    lines: list[str] = []
    for finding in findings:
        for change in remedies.changes(finding, config):
            overrides = resolved(change, config)
            if not overrides or any(" " in override for override in overrides):
                continue
            changed = own.changed(overrides)
            if changed.text() not in lines and composes(changed):
                lines.append(changed.text())
            if len(lines) == MOST:
                return lines
    return lines
