"""What claims still need: the lines whose runs are missing, how many runs, how long they may take;
and running them."""

from __future__ import annotations

import shlex
import subprocess
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
from jepa_lab.report.comparison.differences import setting_text


@dataclass(frozen=True)
class MissingLine:
    """A command line, after `python -m jepa_lab`, that claims wait for. `runs`: how many that are
    missing are known of; 0 where it makes a grid. `seconds`: what they may take, by runs of the
    kind; None where there is none."""

    words: str
    runs: int
    seconds: float | None


def missing_lines(verdicts: Sequence[Judgement], runs: Sequence[Run]) -> list[MissingLine]:
    """Each line once, in the order of the claims. A line that no claim waits for is left out,
    whatever the version of the code that made its runs."""
    wanted: dict[str, dict[tuple[str, int], float | None]] = {}
    maker: dict[
        tuple[str, int], str
    ] = {}  # the first line that makes a run, which is counted there
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
            for line in makers(claim.runs, sides[side]):
                jobs = wanted.setdefault(line, {})
                # what it lacks, the command says
                gridded = claim.statistic and statistics()[claim.statistic].axes
                if not gridded and maker.setdefault(job, line) == line:
                    jobs[job] = seconds[side]
    return [_line(words, list(jobs.values())) for words, jobs in wanted.items()]


def told(lines: Sequence[MissingLine]) -> str:
    """The lines with their numbers, and the sum below."""
    if not lines:
        return "all runs that the claims need are there"
    rows = [f"  {_count(line)}: python -m jepa_lab {line.words}" for line in lines]
    known = [line.seconds for line in lines if line.seconds is not None]
    duration = f", about {_minutes(sum(known))} by runs of the kind" if known else ""
    unknown = len(lines) - len(known)
    left = (
        f" and {unknown} line{'s' * (unknown > 1)} of unknown length" if unknown and known else ""
    )
    head = (
        f"missing: {sum(line.runs for line in lines)} runs of {len(lines)}"
        f" line{'s' * (len(lines) > 1)}{duration}{left}"
    )
    return "\n".join([head, *rows])


def run_lines(lines: Sequence[MissingLine], runs_dir: Path) -> list[str]:
    """Runs each line as it would be typed, one after another; returns those that failed. Runs that
    are finished are skipped by the command itself, unfinished ones go on."""
    failed = []
    for line in lines:
        words = [*shlex.split(line.words), f"runs_dir={runs_dir}"]
        print(f"\npython -m jepa_lab {shlex.join(words)}", flush=True)
        if subprocess.run([sys.executable, "-m", "jepa_lab", *words], check=False).returncode:
            failed.append(line.words)
    return failed


def _line(words: str, seconds: Sequence[float | None]) -> MissingLine:
    known = [value for value in seconds if value is not None]
    return MissingLine(
        words, len(seconds), sum(known) * len(seconds) / len(known) if known else None
    )


def makers(lines: Sequence[str], settings: Settings) -> list[str]:
    """Those of the lines that make runs with these settings, by their words: none contradicts a
    setting, and of such lines the ones that name most of them. All lines where that leaves none."""
    named = {line: _agreeing(line, settings) for line in lines}
    most = max((count for count in named.values() if count is not None), default=None)
    return [line for line in lines if named[line] == most] if most is not None else list(lines)


def _agreeing(line: str, settings: Settings) -> int | None:
    """How many settings the words of the line name; None where one of them has another value
    there."""
    count = 0
    for word in shlex.split(line):
        key, equals, text = word.lstrip("+").partition("=")
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
    """The median time of finished runs with these settings, of any seed; else of the same
    experiment; else of the same data and tier. None where there is none."""
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


def _count(line: MissingLine) -> str:
    if not line.runs:
        return "a grid"
    return f"{line.runs} run{'s' * (line.runs > 1)}" + (
        "" if line.seconds is None else f", {_minutes(line.seconds)}"
    )


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
