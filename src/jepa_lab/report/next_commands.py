"""The next commands to run: the run's own command line, as the run keeps it, with a change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lab.config.statuses import failed
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import Remedies, resolved
from jepa_lab.ledger.command_line import CommandLine, read_command_line

MOST = 4
MORE_SEEDS = 3


def next_commands(
    run_dir: Path,
    config: Mapping[str, Any],
    findings: Sequence[Finding],
    state: str,
    remedies: Remedies,
    composes: Callable[[CommandLine], bool],
    investigation: str | None = None,
) -> list[str]:
    """Command lines to try, the likeliest first.

    For a run without failures more seeds and the frozen evaluation, or where it has not come to its
    end its own line, which resumes it. For a failing run its line with one change each, those that
    compose, and last the `investigation` where its study has one. Only those lines for a run that
    keeps no command line.
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
    if state in ("killed", "stopped", "failed"):
        return [] if own is None else [own.text()]
    evaluation = (
        [] if investigation else [f"python -m jepa_lab.evaluate {shlex.quote(str(run_dir))}"]
    )
    if own is None or own.sweeps_by_itself:  # whose seeds are those of its sweep
        return evaluation
    return [more_seeds(own, config), *evaluation]


def more_seeds(own: CommandLine, config: Mapping[str, Any]) -> str:
    """The line that repeats the run with other seeds beside its own."""
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
    """The run's own line with one change each."""
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
