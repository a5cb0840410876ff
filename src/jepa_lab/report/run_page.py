"""report.html of one run: verdict, table, figures and the command line, in one file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.report.table import COLUMNS, TableRow
from jepa_lab.report.templates import render
from jepa_lab.report.why import Why

FIGURES = ["overview", "early_warning", "loss", "probes", "ranks", "spectrum", "views", "examples"]
FIGURES += ["sweep_trajectories", "sweep_spectra", "sweep_overlap"]  # order on the page
GOOD, NOTE = ("healthy",), ("low_rank", "too_short", "inconclusive", "stopped")


def write_run_page(
    run_dir: Path,
    *,
    title: str,
    verdict_line: str,
    table_rows: Sequence[TableRow],
    command: str,
    config_yaml: str,
    gates_line: str = "none",
    why: Why | None = None,
    diagnose: str = "",
    classes: str = "",
) -> Path:
    """Writes RUN_DIR/report.html with the PNGs found in RUN_DIR/figures and returns its path.

    The first word of `verdict_line` is the status, which sets the colour of the verdict: good, a
    note or a failure. `why` has its reasons, and `diagnose` is the command that prints them with
    what to try. `classes` lists the names of the classes, "" without names.
    """
    page = render(
        "run.html",
        title=title,
        tone=_tone(verdict_line),
        verdict=verdict_line,
        gates=gates_line,
        why=why,
        diagnose=diagnose,
        classes=classes,
        rows=table_rows,
        columns=[c for c in COLUMNS if any(getattr(row, c) for row in table_rows)],
        figures=[(path.stem, _encoded(path)) for path in _ordered(Path(run_dir) / "figures")],
        command=command,
        config=config_yaml,
    )
    path = Path(run_dir) / "report.html"
    write_atomic(path, page)
    return path


def _ordered(folder: Path) -> list[Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.png"))}
    first = [name for name in FIGURES if name in found]
    return [found[name] for name in first + [name for name in found if name not in FIGURES]]


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _tone(verdict_line: str) -> str:
    status = verdict_line.split(maxsplit=1)[0].strip(":,.;").lower() if verdict_line.strip() else ""
    return "good" if status in GOOD else "note" if status in NOTE or not status else "bad"
