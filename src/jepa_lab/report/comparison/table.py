"""A table of runs from their files: settings that differ, headline metrics, verdict."""

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from jepa_lab.ledger.atomic import write_atomic, write_json
from jepa_lab.ledger.finished_run import Run, read_run, verdict_text
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.report.comparison.differences import SeedGroup, differences, natural, seed_groups
from jepa_lab.report.comparison.text import (
    HEADLINE,
    WITH_RETRIEVAL,
    below,
    plain_table,
    rich_table,
    shown_columns,
)

NOTES = ("reason", "first_bad", "run_dir")  # keys of a row beside its columns


@dataclass(frozen=True)
class Comparison:
    """A table with one row for each run.

    `columns` are the settings that differ, `run`, `state`, the metrics by their full key, and
    `verdict`. `rows` have a value or None for each column and for each key in NOTES. `skipped` has
    (path, reason) of the folders that could not be read as a run.
    """

    columns: list[str]
    rows: list[dict[str, Any]]
    seeds: list[SeedGroup] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def text(self) -> str:
        """Returns the table as aligned plain text."""
        columns, hidden = shown_columns(self.columns, self.rows)
        return "\n".join([*plain_table(columns, self.rows), *self._below(columns, hidden)])

    def print(self, file: TextIO | None = None) -> None:
        """Prints the table to `file` (None: standard output), coloured only on a terminal."""
        file = file or sys.stdout
        if not self.rows or not file.isatty():
            print(self.text(), file=file)
            return
        console = Console(file=file)
        columns, hidden = shown_columns(self.columns, self.rows)
        table, needed = rich_table(columns, self.rows, console.width)
        # a narrower terminal wraps the lines, and no cell is cut
        console.width = max(console.width, needed)
        console.print(table)
        for line in self._below(columns, hidden):
            console.print(Text(line), soft_wrap=True)

    def write(self, folder: Path | str) -> tuple[Path, Path]:
        """Writes comparison.json and comparison.csv into `folder` and returns their paths.

        A NaN is null in the JSON and nan in the CSV. A value that a run does not have is left out
        of the JSON and an empty cell in the CSV. A missing folder is created.
        """
        as_json, as_csv = Path(folder) / "comparison.json", Path(folder) / "comparison.csv"
        as_json.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "columns": self.columns,
            "rows": [
                {key: value for key, value in row.items() if value is not None} for row in self.rows
            ],
            "seeds": [asdict(group) for group in self.seeds],
            "skipped": [{"path": path, "why": why} for path, why in self.skipped],
        }
        write_json(as_json, content)
        write_atomic(as_csv, self._csv())
        return as_json, as_csv

    def _below(self, columns: Sequence[str], hidden: Sequence[str]) -> list[str]:
        return [
            *([""] if hidden else []),
            *hidden,
            *below(columns, self.rows, self.seeds, self.skipped),
        ]

    def _csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        columns = [*self.columns, *NOTES]
        writer.writerow(columns)
        for row in self.rows:
            cells = (row[column] for column in columns)
            writer.writerow(
                [json.dumps(cell) if isinstance(cell, list | dict) else cell for cell in cells]
            )
        return out.getvalue()


def compare(run_dirs: Iterable[Path | str]) -> Comparison:
    """Returns the comparison of the runs in `run_dirs`, sorted by the settings that differ.

    A folder that is no run is listed in `skipped` and raises nothing. Metrics are those on test, or
    on validation if no run has any on test. A missing metric is NaN for a run with a summary that
    ended in NaN, and None for any other run.
    """
    runs: list[Run] = []
    skipped: list[tuple[str, str]] = []
    for path in {Path(path).resolve(): Path(path) for path in run_dirs}.values():
        try:
            runs.append(read_run(path))
        except (OSError, ValueError) as error:
            skipped.append((str(path), str(error)))
    return compare_runs(runs, skipped=skipped)


def compare_runs(
    runs: Sequence[Run],
    metrics: Sequence[str] | None = None,
    skipped: Sequence[tuple[str, str]] = (),
) -> Comparison:
    """Returns the comparison of runs that were read already, as `compare` does.

    `metrics` are full keys; None stands for the headline metrics."""
    if not runs:
        return Comparison(["run", "state", "verdict"], [], [], list(skipped))
    differing = differences([run.config for run in runs])
    settings, keys = list(differing[0]), list(metrics or _headline_keys(runs))
    rows = [{**values, **_row(run, keys)} for run, values in zip(runs, differing, strict=True)]
    rows.sort(key=lambda row: ([natural(row[key]) for key in settings], row["run"]))
    seeds = seed_groups(rows, settings, keys[0]) if keys else []
    return Comparison([*settings, "run", "state", *keys, "verdict"], rows, seeds, list(skipped))


def _headline_keys(runs: Sequence[Run]) -> list[str]:
    measured = {key for run in runs for key in run.last()}
    retrieves = any(key.endswith("/retrieval/top1") for key in measured)
    shown = [key for key in HEADLINE if retrieves or key not in WITH_RETRIEVAL]
    found = (
        [f"{split}/{key}" for key in shown if f"{split}/{key}" in measured]
        for split in ("test", "val")
    )
    return next(filter(None, found), [])


def _row(run: Run, metrics: Sequence[str]) -> dict[str, Any]:
    last = run.last()
    missing = math.nan if run.summary and run.ended_in_nan() else None
    return {
        "run": str(run.status.get("run_id") or run.path.resolve().name),
        "state": state_of(run.status) if run.status else "unknown",
        **{key: last.get(key, missing) for key in metrics},
        "verdict": verdict_text(run.summary),
        "reason": run.status.get("reason"),
        "first_bad": run.status.get("first_bad"),
        "run_dir": str(run.path),
    }
