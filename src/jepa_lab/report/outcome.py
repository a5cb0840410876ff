"""The outcome of a run: table and verdict on the terminal, figures and page in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult, gates_line
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.report.early_warning import draw_early_warning, first_violations
from jepa_lab.report.figures import draw_figures
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import show_rows, table_rows

FROM_PYTHON = "jepa_lab.studies.run.train(config)"  # shown for a run without a command line


def present(
    run: RunDir,
    config: JepaConfig,
    history: History,
    verdict: Verdict,
    gates: list[GateResult],
    expected: dict[str, str],
    judge: Callable[[History], Verdict],
    classes: str = "",
    **pictures: Any,
) -> None:
    """Writes the figures of the history and report.html, and prints table, verdict and paths.

    `classes` is a list of the classes' names for the page. `pictures` are passed to draw_figures. A
    study must draw its own figures before, since the page includes all that exist."""
    title = f"{config.name}, {config.dataset.name}, seed {config.seed}"
    draw_figures(history, run.figures, title=title, verdict_line=verdict.line(), **pictures)
    draw_early_warning(history, run.figures, title=title, find=lambda h: first_violations(h, judge))
    rows = table_rows(last_values(history), expected=expected)
    page = write_run_page(
        run.path,
        title=title,
        verdict_line=verdict.line(),
        gates_line=gates_line(gates),
        classes=classes,
        table_rows=rows,
        command=command_line(run),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
    )
    show_rows(rows)
    print(f"\nverdict: {verdict.line()}\ngates:   {gates_line(gates)}")
    print(f"run:     {run.path}\nfigures: {run.figures}\npage:    {page}", flush=True)


def expected_texts(expected: Mapping[str, Any], *names: str) -> dict[str, str]:
    """Returns {key: text} of the values that are expected of an experiment.

    `expected` is nested; `names` are the options to follow, one for each level."""
    known: Any = expected
    for name in names:
        known = known.get(name) or {}
    return {str(key): f"expected {text}" for key, text in known.items()}


def command_line(run: RunDir) -> str:
    """Returns the command line that repeats the run."""
    line = read_command_line(run.path)
    return FROM_PYTHON if line is None else line.text()
