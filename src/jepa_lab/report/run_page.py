"""report.html of one run: verdict, reasons, what to try, curves, results and circumstances, in one
file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jepa_lab.config.statuses import FAILURES, status_in
from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.report.captions import PICTURES
from jepa_lab.report.table import COLUMNS, TableRow
from jepa_lab.report.templates import inline_json, render
from jepa_lab.report.why import Why

PREDICTION = " | prediction: "  # between the halves of a verdict's line


@dataclass(frozen=True)
class RunPage:
    """The content of the page.

    - `verdict` is one line. Its first word is the status, which sets the colour: good, a note or a
      failure. `gates` is one line too.
    - `why` has the reasons, None for a page of several runs. `loss` explains a loss that rises.
    - `tries` are pairs of a purpose and a command, "" for a suggestion without one.
    - `charts` maps the title of a section to its charts, see page_charts.
    - `intervals` says what the intervals of the table are.
    - `facts` are pairs of a name and a text. `unfinished` says so of a run that has not completed.
    """

    title: str
    verdict: str
    rows: Sequence[TableRow]
    command: str
    config_yaml: str
    gates: str = ""
    unfinished: str = ""
    why: Why | None = None
    loss: str = ""
    tries: Sequence[tuple[str, str]] = ()
    charts: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    intervals: str = ""
    facts: Sequence[tuple[str, str]] = ()


def write_run_page(run_dir: Path, page: RunPage) -> Path:
    """Writes RUN_DIR/report.html, with links to the pictures found in RUN_DIR/figures, and returns
    its path."""
    shown = [panel for panels in page.charts.values() for panel in panels]
    why = page.why
    html = render(
        "run.html",
        title=page.title,
        tone=_tone(page.verdict),
        verdict=_halves(page.verdict),
        gates=page.gates,
        unfinished=page.unfinished,
        why=why,
        ranges=[row for row in why.ranges if row.range] if why else [],
        loss=page.loss,
        tries=page.tries,
        charts=list(page.charts),
        limits=any(panel["bounds"] for panel in shown),
        rows=page.rows,
        columns=[c for c in COLUMNS if any(getattr(row, c) for row in page.rows)],
        intervals=page.intervals,
        pictures=_pictures(Path(run_dir) / "figures"),
        facts=page.facts,
        command=page.command,
        config=page.config_yaml,
        data=inline_json(page.charts),
    )
    path = Path(run_dir) / "report.html"
    write_atomic(path, html)
    return path


def _pictures(folder: Path) -> list[tuple[str, str]]:
    """Returns (path, caption) of the PNG files: those with a caption in its order, then the
    others."""
    found = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    order = list(PICTURES)
    kinds = {path: next((n for n in order if path.stem.startswith(n)), "") for path in found}
    found.sort(key=lambda path: order.index(kinds[path]) if kinds[path] else len(order))
    return [(path.as_posix(), PICTURES.get(kinds[path], "")) for path in found]


def _halves(line: str) -> list[str]:
    """Returns the verdict on the features, and the state of the prediction if it is known."""
    features, _, prediction = line.partition(PREDICTION)
    return [features, *([f"Prediction: {prediction}"] if prediction else [])]


def _tone(line: str) -> str:
    status = status_in(line).strip(":,.;")
    return "good" if status == "healthy" else "bad" if status in FAILURES else "note"
