"""The outcome of a run: table and verdict on the terminal, figures and page in the run folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.diagnosis import Examination, Verdict
from jepa_lab.diagnosis.gates import GateResult, gates_line
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.report.early_warning import draw_early_warning, first_violations
from jepa_lab.report.figures import draw_figures
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import show_rows, table_rows
from jepa_lab.report.why import why

FROM_PYTHON = "jepa_lab.studies.run.train(config)"  # shown for a run without a command line


def present(
    run: RunDir,
    config: JepaConfig,
    history: History,
    verdict: Verdict,
    gates: list[GateResult],
    expected: dict[str, str],
    examine: Callable[[History], Examination],
    remedies: Remedies,
    classes: str = "",
    **pictures: Any,
) -> None:
    """Writes the figures of the history and report.html, and prints table, verdict and paths.

    `examine` maps a history to the verdict with everything that it was chosen from, and `remedies`
    are the study's, for the section on the reasons. `classes` is a list of the classes' names for
    the page. `pictures` are passed to draw_figures. A
    study must draw its own figures before, since the page includes all that exist."""

    def judge(some: History) -> Verdict:
        return examine(some).verdict

    title = f"{config.name}, {config.dataset.name}, seed {config.seed}"
    draw_figures(history, run.figures, title=title, verdict_line=verdict.line(), **pictures)
    draw_early_warning(history, run.figures, title=title, find=lambda h: first_violations(h, judge))
    rows = table_rows(last_values(history), expected=expected)
    page = write_run_page(
        run.path,
        title=title,
        verdict_line=verdict.line(),
        gates_line=gates_line(gates),
        why=why(examine(history), history, asdict(config), remedies),
        diagnose=diagnose_line(run),
        classes=classes,
        table_rows=rows,
        command=command_line(run),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
    )
    show_rows(rows)
    print(f"\nverdict: {verdict.line()}\ngates:   {gates_line(gates)}")
    print(f"run:     {run.path}\nfigures: {run.figures}\npage:    {page}")
    print(f"why:     {diagnose_line(run)}", flush=True)


def diagnose_line(run: RunDir) -> str:
    """Returns the command that prints the evidence of a run's verdict, and what to try."""
    return f"jepa-lab diagnose {shlex.quote(str(run.path))}"


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
