"""The table of the states of a sweep's jobs, and the line with their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from jepa_lab.ledger.sweep_folder import STATES, Record
from jepa_lab.report.text_table import print_table

COLOURS = {
    "done": "green",
    "resumed": "green",
    "skipped": "dim",
    "failed": "red",
    "refused": "red",
    "stopped": "yellow",
}


def print_records(records: Sequence[Record], file: TextIO | None = None) -> None:
    """Prints one row per job: number, state, run, the settings in which the jobs differ, and a
    remark."""
    heads, *rows = table_cells(records)
    styles = [[COLOURS.get(row[1], "")] * len(heads) for row in rows]
    print_table(heads, rows, styles=styles, file=file)


def job_line(records: Sequence[Record], job: int) -> str:
    """Returns 'job 3, seed=1 (of 8 jobs: 2 done, 6 to do)', printed before the job starts."""
    common = _common_settings(records)
    settings = next((_own_settings(r, common) for r in records if r.job == job), "")
    return f"job {job}{', ' if settings else ''}{settings} (of {summary_line(records)})"


def table_cells(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Returns the header and one row of texts per record."""
    common = _common_settings(records)
    rows: list[tuple[str, ...]] = [("job", "state", "run", "settings", "")]
    for r in records:
        own = _own_settings(r, common)
        rows.append((str(r.job), r.state, r.run_id or "", own, r.reason or ""))
    return rows


def _common_settings(records: Sequence[Record]) -> set[str]:
    """Returns the settings that all of several jobs share."""
    if len(records) < 2:
        return set()
    return set(records[0].words).intersection(*(r.words for r in records))


def _own_settings(record: Record, common: set[str]) -> str:
    return " ".join(override for override in record.words if override not in common)


def summary_line(records: Sequence[Record]) -> str:
    """Returns '8 jobs: 5 done, 2 skipped, 1 failed'."""
    counts = Counter(r.state for r in records)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    return f"{len(records)} job{'s' * (len(records) != 1)}: {', '.join(parts)}"
