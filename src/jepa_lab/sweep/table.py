"""The table of a sweep's states, and its last line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jepa_lab.ledger.sweep_folder import STATES, Record

COLOURS = {
    "done": "green",
    "resumed": "green",
    "skipped": "dim",
    "failed": "red",
    "refused": "red",
    "stopped": "yellow",
}


def print_records(records: Sequence[Record], file: TextIO | None = None) -> None:
    """One row per job: number, state, run, the settings in which the jobs differ, and what there is to say."""
    file = file or sys.stdout
    rows = table_cells(records)
    if file.isatty():
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in rows[0]:
            table.add_column(title)
        for row in rows[1:]:
            table.add_row(*(Text(cell, style=COLOURS.get(row[1], "")) for cell in row))
        Console(file=file).print(table)
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip(), file=file, flush=True)


def job_line(records: Sequence[Record], job: int) -> str:
    """'job 3, seed=1 (of 8 jobs: 2 done, 6 to do)', printed before the job starts."""
    cells = {row[0]: row for row in table_cells(records)[1:]}
    settings = cells[str(job)][3] if str(job) in cells else ""
    return f"job {job}{', ' if settings else ''}{settings} (of {summary_line(records)})"


def table_cells(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """The header and one row of texts per record."""
    common = set(records[0].words).intersection(*(r.words for r in records)) if len(records) > 1 else set()
    rows: list[tuple[str, ...]] = [("job", "state", "run", "settings", "")]
    for r in records:
        words = [word for word in r.words if word not in common]
        rows.append((str(r.job), r.state, r.run_id or "", " ".join(words), r.reason or ""))
    return rows


def summary_line(records: Sequence[Record]) -> str:
    """'8 jobs: 5 done, 2 skipped, 1 failed'."""
    counts = Counter(r.state for r in records)
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    return f"{len(records)} job{'s' * (len(records) != 1)}: {', '.join(parts)}"
