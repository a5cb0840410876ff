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
from jepa_lab.report.diagnosis import UNFINISHED, Composes
from jepa_lab.report.early_warning import draw_early_warning, first_violations
from jepa_lab.report.figures import draw_figures
from jepa_lab.report.loss_rise import explained_rise
from jepa_lab.report.next_commands import investigation_of, next_commands, purpose
from jepa_lab.report.page_charts import run_charts
from jepa_lab.report.run_facts import run_facts
from jepa_lab.report.run_page import RunPage, write_run_page
from jepa_lab.report.table import TableRow, show_rows, table_rows
from jepa_lab.report.why import why

FROM_PYTHON = "jepa_lab.studies.run.train(config)"  # shown for a run without a command line


@dataclass(frozen=True)
class Outcome:
    """The results of a run that terminal and page show.

    - `config` is the content of config.yaml.
    - `state` is that of RunDir.state. At the end of a run it is the state that it will have.
    - `verdict` and `gates` are one line each.
    - `expected` maps metrics to the text about their expected value, see expected_texts.
    - `examine` maps a history to the verdict with everything that it was chosen from.
    - `remedies` are the study's, for the reasons and for what to try.
    - `composes` says whether a command line is valid, so that it can be suggested.
    """

    run: RunDir
    config: Mapping[str, Any]
    history: History
    state: str
    verdict: str
    gates: str
    expected: Mapping[str, str]
    examine: Callable[[History], Examination]
    remedies: Remedies
    composes: Composes

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """The content of summary.json, {} without the file."""
        return self.run.summary() or {}

    @cached_property
    def images(self) -> dict[str, int]:
        """The numbers of validation and test images, as far as they are known."""
        protocol = self.summary.get("protocol") or {}
        found = {split: protocol.get(f"{split}_images") for split in ("val", "test")}
        return {split: n for split, n in found.items() if isinstance(n, int)}

    @cached_property
    def rows(self) -> list[TableRow]:
        """The lines of the table."""
        return table_rows(last_values(self.history), expected=self.expected, images=self.images)


def draw_outcome(outcome: Outcome, classes: str = "", **pictures: Any) -> Path:
    """Writes the figures of the history and report.html, and returns the path of the page.

    `classes` is a list of the classes' names for the page. `pictures` are passed to draw_figures. A
    study must draw its own figures before, since the page names all that exist.
    """
    run, config, history = outcome.run, outcome.config, outcome.history
    title = title_of(config)
    draw_figures(history, run.figures, title=title, verdict_line=outcome.verdict, **pictures)
    draw_early_warning(
        history,
        run.figures,
        title=title,
        find=lambda h: first_violations(h, lambda some: outcome.examine(some).verdict),
    )
    return write_run_page(run.path, page_of(outcome, classes))


def page_of(outcome: Outcome, classes: str = "") -> RunPage:
    """Returns the content of the page of a run."""
    run, config, history = outcome.run, outcome.config, outcome.history
    found = outcome.examine(history)
    reasons = why(found, history, config, outcome.remedies)
    step = max((points[-1][0] for points in history.values() if points), default=0)
    facts = run_facts(config, outcome.summary, run.status() or {}, step)
    return RunPage(
        title=title_of(config),
        verdict=outcome.verdict,
        rows=outcome.rows,
        command=command_line(run),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
        gates=outcome.gates,
        unfinished=UNFINISHED.get(outcome.state, ""),
        why=reasons,
        loss=explained_rise(history),
        tries=_tries(outcome, found),
        charts=run_charts(
            history,
            {row.key: row.limit for row in reasons.ranges if row.limit is not None},
            reasons.events,
            outcome.images.get("val"),
        ),
        intervals=_intervals(outcome),
        facts=[*facts, *([("classes", classes)] if classes else [])],
    )


def _tries(outcome: Outcome, found: Examination) -> list[tuple[str, str]]:
    run, own = outcome.run.path, read_command_line(outcome.run.path)
    commands = next_commands(
        run,
        outcome.config,
        found.failures,
        outcome.state,
        outcome.remedies,
        outcome.composes,
        investigation_of(run) if own is not None else None,
    )
    tries = [(purpose(command, own), command) for command in commands]
    return [*tries, ("Print the evidence in a terminal:", diagnose_line(outcome.run))]


def _intervals(outcome: Outcome) -> str:
    if not any(row.intervals for row in outcome.rows):
        return ""
    names = (("val", "validation"), ("test", "test"))
    n = " and ".join(f"{outcome.images[s]:,} {name}" for s, name in names if s in outcome.images)
    return (
        f"Below the class probes: the 95 % interval (Wilson) over the n = {n} images of this one"
        " run. It says nothing of the spread over seeds, for which jepa-lab report compares runs."
    )


def title_of(config: Mapping[str, Any]) -> str:
    """Returns the name of a run: experiment, data and seed."""
    dataset = (config.get("dataset") or {}).get("name")
    return f"{config.get('name')}, {dataset}, seed {config.get('seed')}"


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
