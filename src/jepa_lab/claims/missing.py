"""The command lines of missing runs: their number, an estimate of their time, and running them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from jepa_lab.claims.claim import Settings
from jepa_lab.claims.selection import fits, same
from jepa_lab.claims.statistics import statistics
from jepa_lab.claims.verdicts import Judgement
from jepa_lab.ledger.finished_run import Run
from jepa_lab.process.child import run_child
from jepa_lab.report.comparison.differences import setting_text


@dataclass(frozen=True)
class MissingCommand:
    """A command line, after `python -m jepa_lab`, with runs that claims need.

    `runs` is the number of missing runs, 0 if the command makes a grid, whose runs are not counted.
    `seconds` is their time, estimated from similar runs, None if there are none."""

    command: str
    runs: int
    seconds: float | None


def missing_commands(verdicts: Sequence[Judgement], runs: Sequence[Run]) -> list[MissingCommand]:
    """Returns each command line with missing runs once, in the order of the claims.

    A command line is left out if no claim needs its runs, even if those runs were made with an
    older version of the code."""
    wanted: dict[str, dict[tuple[str, int], float | None]] = {}
    # (settings, seed) -> the first command line that makes the run; the run is counted there only
    maker: dict[tuple[str, int], str] = {}
    for verdict in verdicts:
        claim = verdict.claim
        if not verdict.missing or claim.not_testable:
            continue
        sides = dict(claim.sides())
        seconds = {side: _seconds(settings, runs) for side, settings in sides.items()}
        for side, seed in verdict.missing:
            job = (
                str({key: setting_text(value) for key, value in sorted(sides[side].items())}),
                seed,
            )
            for command in makers(claim.runs, sides[side]):
                jobs = wanted.setdefault(command, {})
                # the runs of a grid are not counted, since only the command knows them
                gridded = claim.statistic and statistics()[claim.statistic].axes
                if not gridded and maker.setdefault(job, command) == command:
                    jobs[job] = seconds[side]
    return [_missing(command, list(jobs.values())) for command, jobs in wanted.items()]


def missing_text(missing: Sequence[MissingCommand]) -> str:
    """Returns the total number and time of the missing runs, and a line for each command."""
    if not missing:
        return "all runs that the claims need exist"
    rows = [f"  {_count(one)}: python -m jepa_lab {one.command}" for one in missing]
    known = [one.seconds for one in missing if one.seconds is not None]
    duration = f", about {_minutes(sum(known))} by the time of similar runs" if known else ""
    unknown = len(missing) - len(known)
    rest = (
        f" and {unknown} command{'s' * (unknown > 1)} of unknown time" if unknown and known else ""
    )
    head = (
        f"missing: {sum(one.runs for one in missing)} runs of {len(missing)}"
        f" command{'s' * (len(missing) > 1)}{duration}{rest}"
    )
    return "\n".join([head, *rows])


def run_commands(missing: Sequence[MissingCommand], runs_dir: Path) -> list[str]:
    """Runs each command line in turn and returns those that failed.

    Each command skips runs that are finished and resumes the others."""
    failed = []
    for one in missing:
        arguments = [*shlex.split(one.command), f"runs_dir={runs_dir}"]
        print(f"\npython -m jepa_lab {shlex.join(arguments)}", flush=True)
        if run_child([sys.executable, "-m", "jepa_lab", *arguments]):
            failed.append(one.command)
    return failed


def _missing(command: str, seconds: Sequence[float | None]) -> MissingCommand:
    known = [value for value in seconds if value is not None]
    return MissingCommand(
        command, len(seconds), sum(known) * len(seconds) / len(known) if known else None
    )


def makers(commands: Sequence[str], settings: Settings) -> list[str]:
    """Returns the command lines that make runs with these settings, judged by their overrides.

    These are the command lines that contradict no setting and name most of them. If all contradict
    a setting, all are returned."""
    named = {command: _agreeing(command, settings) for command in commands}
    most = max((count for count in named.values() if count is not None), default=None)
    return [c for c in commands if named[c] == most] if most is not None else list(commands)


def _agreeing(command: str, settings: Settings) -> int | None:
    """Returns how many of the settings the command line overrides with their values.

    Returns None if it overrides one of them with another value."""
    count = 0
    for override in shlex.split(command):
        key, equals, text = override.lstrip("+").partition("=")
        key = {"experiment": "name"}.get(key, key)
        found = next((settings[k] for k in (key, f"{key}.name") if k in settings), None)
        if not equals or found is None:
            continue
        if not any(
            same(value, found) for value in ([text] if text.startswith("[") else text.split(","))
        ):
            return None
        count += 1
    return count


def _seconds(settings: Settings, runs: Sequence[Run]) -> float | None:
    """Returns the median time of finished runs with these settings and any seed.

    If there are none, runs of the same experiment count, then runs of the same data and tier.
    Returns None if there are none of these either."""
    for keys in (settings.keys(), {"name"}, {"dataset", "dataset.name", "tier", "tier.name"}):
        wanted = {key: settings[key] for key in settings if key in keys}
        times = [
            float(run.summary["wall_s"])
            for run in runs
            if run.summary.get("wall_s") and fits(run, wanted)
        ]
        if wanted and times:
            return median(times)
    return None


def _count(missing: MissingCommand) -> str:
    if not missing.runs:
        return "a grid"
    return f"{missing.runs} run{'s' * (missing.runs > 1)}" + (
        "" if missing.seconds is None else f", {_minutes(missing.seconds)}"
    )


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
