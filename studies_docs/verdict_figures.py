"""Draws the real case of every status, and writes its verdict into docs/verdicts/<status>.md.

    python studies_docs/verdict_figures.py [--runs-dir runs] [--out docs/verdicts]

Most cases are runs of the benchmark of collapses (docs/collapse_bench.md), whose table ships with
the package: nothing is trained. The others are runs of ours below --runs-dir; a missing one is
named with the command that makes it, and its page stays as it is.

Of each page it replaces the text between `<!-- case -->` and `<!-- end -->`. In the overview
docs/verdicts/index.md it replaces the table of how often each status was given.
"""

from __future__ import annotations

import argparse
import math
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from documents import filled, save_figure
from jepa_lab.config.statuses import SEVERITY, STATUSES, failed
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_json
from jepa_lab.report.collapse_bench.rules import verdict_of
from jepa_lab.report.collapse_bench.runs import SHIPPED, BenchRun, load_runs
from verdict_cases import BRANCH, CASES, Case, Panel

ORDER = (*SEVERITY, *(status for status in STATUSES if status not in SEVERITY))
AROUND = ("figures=", "hardware=", "seed=0")  # make the same run, or nearly
RED, BLUE = "#c0392b", "#2c6fbb"
LABELS = {
    "failed": "**failed**: its features lost what the untrained network had, or it learned nothing",
    "good": "**good**: its features gained, or kept everything while the prediction was learned",
    "undecided": "**undecided**: neither clearly failed nor clearly good",
}


@dataclass(frozen=True)
class Shown:
    """A run as its page shows it: its curves, the line of its verdict, the step since which it
    holds, and what made it."""

    history: dict[str, list[tuple[int, float]]]
    line: str
    since: int | None
    made_by: str
    label: str = ""


def find_shown(source: str, runs: dict[str, BenchRun], runs_dir: Path) -> Shown | None:
    """Returns the run of a name or of a command line, None if the run of ours does not exist.
    Raises KeyError for a name that is not in the table."""
    if "experiment=" in source:
        return _of_ours(source, runs_dir)
    run = runs[source]
    verdict = verdict_of(run)
    command = f"python studies_docs/collapse_bench train OUT --only {source}"
    return Shown(run.history, verdict.line(), verdict.since_step, command, run.label)


def _of_ours(command: str, runs_dir: Path) -> Shown | None:
    """Returns the run or the branch that a command line makes, None if it does not exist."""
    line, _, options = command.partition(BRANCH)
    wanted = {*shlex.split(line), *shlex.split(options)[2:]}  # after --at's value: --set KEY=VALUE
    wanted = {word for word in wanted if not word.startswith(AROUND)}
    for file in sorted(runs_dir.glob("*/*/overrides.yaml")):
        made = read_command_line(file.parent)
        summary = read_json(file.with_name("summary.json"))
        words = made.overrides if made else ()
        is_branch = any(word.startswith("branch.") for word in words)
        given = {word for word in words if not word.startswith((*AROUND, "branch."))}
        if summary and given == wanted and is_branch == bool(options):
            verdict = summary["verdict"]
            history = history_of(file.parent)
            return Shown(history, verdict["line"], verdict.get("since_step"), made_by(command))
    return None


def made_by(command: str) -> str:
    """Returns the command of a run, and below it that of its branch if it has one."""
    line, _, options = command.partition(BRANCH)
    text = f"python -m jepa_lab {line}"
    if not options:
        return text
    name = line.partition("experiment=")[2].split()[0]
    return f"{text}\npython -m jepa_lab.branch runs/{name}/<run_id>{BRANCH}{options}"


def colour_of(case: Case) -> str:
    """Returns red for a run that stands beside another one or failed, else blue."""
    return RED if case.beside or failed(case.status) else BLUE


def draw_panel(axes: Axes, panel: Panel, shown: Shown, beside: Shown | None, case: Case) -> None:
    """Draws a curve of the run, and of the one beside it, with the limit of the rule and the step
    since which the verdict holds."""
    for run, colour, name in (
        (beside, BLUE, case.beside_what),
        (shown, colour_of(case), case.what),
    ):
        points = [] if run is None else run.history.get(panel.key, [])
        finite = [(step, value) for step, value in points if math.isfinite(value)]
        if finite:
            axes.plot(*zip(*finite, strict=True), color=colour, label=name, marker=".", ms=3)
    if panel.limit is not None:
        axes.axhline(panel.limit, color="black", linestyle="--", linewidth=0.8, label="limit")
    if shown.since is not None:
        axes.axvline(shown.since, color=colour_of(case), linestyle=":", linewidth=1)
    axes.set(xlabel="step", ylabel=panel.label)
    if panel.log:
        axes.set_yscale("log")
    if panel.lowest is not None:
        axes.set_ylim(panel.lowest, 1.05)  # of a share or a skill


def draw(case: Case, shown: Shown, beside: Shown | None, path: Path) -> None:
    figure, axes = plt.subplots(1, len(case.panels), figsize=(9.2, 3.1), squeeze=False)
    for place, panel in zip(axes[0], case.panels, strict=True):
        draw_panel(place, panel, shown, beside, case)
    handles, labels = axes[0][0].get_legend_handles_labels()
    for place in axes[0][1:]:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    figure.legend(handles, labels, loc="upper center", ncols=3, fontsize=8, frameon=False)
    save_figure(figure, path, dpi=100, top=0.9)
    plt.close(figure)


def case_text(case: Case, shown: Shown, beside: Shown | None) -> str:
    """Returns the part of a page that follows from the runs."""
    named = f"Red: {case.what}. Blue: {case.beside_what}." if beside else f"The run: {case.what}."
    since = " The dotted line is the step since which the verdict holds." if shown.since else ""
    lines = [
        f"![{' and '.join(panel.label for panel in case.panels)} over the steps]"
        f"(../images/verdicts/{case.status}.png)",
        "",
        named + since + f" The verdict{' on the red run' if beside else ''}:",
        "",
        "```",
        shown.line,
        "```",
    ]
    if shown.label:
        lines += ["", f"An oracle that reads other images calls this run {LABELS[shown.label]}."]
    if beside is not None:
        lines += ["", "The verdict on the blue run:", "", "```", beside.line, "```"]
    commands = shown.made_by.splitlines() + (beside.made_by.splitlines() if beside else [])
    once = list(dict.fromkeys(commands))
    again = "To make these runs again" if len(once) > 1 else "To make this run again"
    return "\n".join([*lines, "", f"{again}:", "", "```", *once, "```"])


def counts_text(runs: dict[str, BenchRun]) -> str:
    """Returns the table of how often each status was given to labelled runs."""
    statuses = {name: verdict_of(run).status for name, run in runs.items()}
    lines = [
        f"Of the {len(runs)} runs of the benchmark, by what the oracle found:",
        "",
        "| status | runs | had failed | were good | undecided | most often |",
        "|---|---|---|---|---|---|",
    ]
    for status in ORDER:
        found = [run for name, run in runs.items() if statuses[name] == status]
        labels = Counter(run.label for run in found)
        made = Counter(f"{run.method} {run.condition}" for run in found).most_common(2)
        often = ", ".join(f"{name} ({number})" for name, number in made)
        cells = " | ".join(str(labels[label]) for label in ("failed", "good", "undecided"))
        lines.append(f"| [`{status}`]({status}.md) | {len(found)} | {cells} | {often} |")
    return "\n".join(lines)


def write_page(page: Path, tables: dict[str, str]) -> None:
    page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/verdicts"))
    args = parser.parse_args()
    runs = {run.name: run for run in load_runs(SHIPPED)}
    for case in CASES:
        shown = find_shown(case.run, runs, args.runs_dir)
        beside = find_shown(case.beside, runs, args.runs_dir) if case.beside else None
        if shown is None or (case.beside and beside is None):
            missing = case.run if shown is None else case.beside
            print(f"{case.status}: not drawn, the run is missing: {made_by(missing)}")
            continue
        draw(case, shown, beside, args.out.parent / "images" / "verdicts" / f"{case.status}.png")
        write_page(args.out / f"{case.status}.md", {"case": case_text(case, shown, beside)})
        print(f"{case.status}: {shown.line[:90]}")
    write_page(args.out / "index.md", {"counts": counts_text(runs)})


if __name__ == "__main__":
    main()
