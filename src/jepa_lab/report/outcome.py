"""The outcome of a run: table and verdict on the terminal, figures and page in the run folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jepa_lab.diagnosis import Examination
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.parquet import History, last_values
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.report.early_warning import draw_early_warning, first_violations
from jepa_lab.report.figures import draw_figures
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import TableRow, show_rows, table_rows
from jepa_lab.report.why import why

FROM_PYTHON = "jepa_lab.studies.run.train(config)"  # shown for a run without a command line


@dataclass(frozen=True)
class Outcome:
    """The results of a run that terminal and page show.

    - `config` is the content of config.yaml.
    - `verdict` and `gates` are one line each.
    - `expected` maps metrics to the text about their expected value, see expected_texts.
    - `examine` maps a history to the verdict with everything that it was chosen from.
    - `remedies` are the study's, for the section on the reasons.
    """

    run: RunDir
    config: Mapping[str, Any]
    history: History
    verdict: str
    gates: str
    expected: Mapping[str, str]
    examine: Callable[[History], Examination]
    remedies: Remedies

    @cached_property
    def rows(self) -> list[TableRow]:
        """The lines of the table."""
        return table_rows(last_values(self.history), expected=self.expected)


def draw_outcome(outcome: Outcome, classes: str = "", **pictures: Any) -> Path:
    """Writes the figures of the history and report.html, and returns the path of the page.

    `classes` is a list of the classes' names for the page. `pictures` are passed to draw_figures. A
    study must draw its own figures before, since the page includes all that exist.
    """
    run, config, history = outcome.run, outcome.config, outcome.history
    dataset = (config.get("dataset") or {}).get("name")
    title = f"{config.get('name')}, {dataset}, seed {config.get('seed')}"
    draw_figures(history, run.figures, title=title, verdict_line=outcome.verdict, **pictures)
    draw_early_warning(
        history,
        run.figures,
        title=title,
        find=lambda h: first_violations(h, lambda some: outcome.examine(some).verdict),
    )
    return write_run_page(
        run.path,
        title=title,
        verdict_line=outcome.verdict,
        gates_line=outcome.gates,
        why=why(outcome.examine(history), history, config, outcome.remedies),
        diagnose=diagnose_line(run),
        classes=classes,
        table_rows=outcome.rows,
        command=command_line(run),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
    )


def print_outcome(outcome: Outcome, page: Path | None) -> None:
    """Prints the table, the verdict and the paths of the results. Without a page it prints the
    command that draws it."""
    run = outcome.run
    show_rows(outcome.rows)
    print(f"\nverdict: {outcome.verdict}\ngates:   {outcome.gates}\nrun:     {run.path}")
    if page is None:
        print(f"page:    {draw_line(run)}")
    else:
        print(f"figures: {run.figures}\npage:    {page}")
    print(f"why:     {diagnose_line(run)}", flush=True)


def diagnose_line(run: RunDir) -> str:
    """Returns the command that prints the evidence of a run's verdict, and what to try."""
    return f"jepa-lab diagnose {shlex.quote(str(run.path))}"


def draw_line(run: RunDir) -> str:
    """Returns the command that draws the figures and the page of a run."""
    return f"jepa-lab report {shlex.quote(str(run.path))}"


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
