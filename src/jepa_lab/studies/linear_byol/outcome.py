"""The end of a toy's command: the files of every run, the summary of the grid, the verdict, the
printed table and the figures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.run_dir import RunDir, require_inside, writing_below
from jepa_lab.ledger.summary import write_summarised
from jepa_lab.report.diagnosis import Composes
from jepa_lab.report.figures import drawing
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import plain_table
from jepa_lab.studies.linear_byol.column_summary import summarise_columns
from jepa_lab.studies.linear_byol.examination import examination_of
from jepa_lab.studies.linear_byol.figures.all import FigureRequest, draw_all
from jepa_lab.studies.linear_byol.figures.dynamics import draw_run
from jepa_lab.studies.linear_byol.page import grid_page, run_page, table_of
from jepa_lab.studies.linear_byol.resume import ToyPlan, ToyRun, yaml_of
from jepa_lab.studies.linear_byol.table import NAME, THEORY, metrics_of, read_rows, write_run
from jepa_lab.training.study import unchecked

MOST_CELLS = 3  # cells of the grid that the line names


def finish_run(run: ToyRun, columns: dict[str, np.ndarray]) -> None:
    """Writes the run's table, configuration and summary, and last its status, which marks the run
    as finished. Raises RuntimeError for a run without metrics."""
    folder = run.dir.create(yaml_of(run.settings))
    settings, metrics, steps = run.settings, metrics_of(columns), columns["epoch"]
    if not metrics or not len(steps):
        raise RuntimeError(f"{folder.path}: no metrics were measured")
    write_run(folder.path / NAME, columns, settings, "completed")
    wall = float(columns["wall_s"][~columns["diverged"]][-1:].sum())
    verdict = examination_of(folder.path).verdict.to_dict()  # of the table with its settings
    summary = summarise_columns(steps, metrics)
    write_summarised(folder, summary, verdict, {"key": "val/readout_r2"}, {}, wall)
    folder.write_status("completed")


def verdict_of(plan: ToyPlan) -> Verdict:
    """Returns the verdict of a single run. The verdict on a grid is the most frequent status of its
    runs, with their share as confidence."""
    summaries = [run.dir.summary() or {} for run in plan.runs]
    if len(plan.runs) == 1:
        content = summaries[0]["verdict"]
        return Verdict(**{f.name: content[f.name] for f in fields(Verdict)})
    counts = Counter(str(s["verdict"]["status"]) for s in summaries)
    status, most = counts.most_common(1)[0]
    return Verdict(status, confidence=most / len(summaries))


def write_grid_summary(plan: ToyPlan, wall_s: float) -> dict[str, Any]:
    """Returns the summary of a single run, which `finish_run` has written. For a grid, writes and
    returns a summary whose metrics are medians over the runs."""
    summaries = [run.dir.summary() or {} for run in plan.runs]
    if len(plan.runs) == 1:
        return summaries[0]
    counts = Counter(str(s["verdict"]["status"]) for s in summaries)
    listed = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    metrics: dict[str, dict[str, float]] = {}
    for key in summaries[0]["metrics"]:
        values = [
            s["metrics"][key]["last"]
            for s in summaries
            if s["metrics"].get(key, {}).get("last") is not None
        ]
        if values:
            metrics[key] = {
                "last": statistics.median(values),
                "min": min(values),
                "max": max(values),
            }
    verdict = {
        **verdict_of(plan).to_dict(),
        "line": f"{len(summaries)} runs: {listed}{_cells_not_healthy(plan, summaries)}",
        "runs": dict(counts),
    }
    content = {
        "metrics": metrics,
        "verdict": verdict,
        "monitor": {"key": "val/readout_r2"},
        "wall_s": wall_s,
    }
    write_json(
        plan.home.summary_path,
        {**content, "runs": [run.run_id for run in plan.runs], "parameters": {}},
    )
    return content


def _cells_not_healthy(plan: ToyPlan, summaries: list[dict[str, Any]]) -> str:
    """Returns the cells of the grid that have runs which are not healthy, the most first, or '' if
    there are none, or no others."""
    cells: Counter[tuple[Any, ...]] = Counter()
    for run, summary in zip(plan.runs, summaries, strict=True):
        if summary["verdict"]["status"] != "healthy":
            settings = run.settings
            alpha, beta = settings["lr_pred_setting"], settings["lr_enc_setting"]
            cells[alpha, beta, settings["tau"], settings["batch_size"]] += 1
    if not 0 < cells.total() < len(summaries):
        return ""
    texts = []
    for (alpha, beta, tau, batch), number in cells.most_common(MOST_CELLS):
        rates = [("alpha", alpha), ("beta", beta if beta != alpha else None)]
        known = [f"{name} {rate:g}" for name, rate in rates if rate is not None]
        texts.append(f"{', '.join([*known, f'tau {tau:g}', f'batch {batch}'])}: {number}")
    left = len(cells) - len(texts)
    return f" (not healthy at {'; '.join(texts)}{f'; {left} more cells' if left else ''})"


def show_outcome(
    plan: ToyPlan, summary: dict[str, Any], brief: bool, composes: Composes = unchecked
) -> None:
    """Prints the results of the configuration's runs, draws the figures and writes the page."""
    home, rows = plan.home, table_of(summary, len(plan.runs))
    if not brief and rows:
        print(plain_table(rows))
    names = [run.run_id for run in plan.runs]
    figures = draw_figures(home, names) if plan.config.figures else []
    page = write_page(home, names, composes, "completed")
    print(f"\nverdict: {summary['verdict']['line']}\nrun:     {home.path}", flush=True)
    if figures:
        print(f"figures: {home.figures} ({len(figures)} files)", flush=True)
    print(f"page:    {page}", flush=True)


def draw(folder: Path, composes: Composes) -> Path:
    """Draws the figures and the page of a run's folder or of a grid's, and returns the path of the
    page. Raises UserError if its table is missing or damaged."""
    require_inside(folder)
    home = RunDir(folder.parent.parent, folder.parent.name, folder.name)
    names = [str(name) for name in (home.summary() or {}).get("runs") or [folder.name]]
    with writing_below(folder):
        draw_figures(home, names)
        return write_page(home, names, composes)


def write_page(home: RunDir, names: Sequence[str], composes: Composes, state: str = "") -> Path:
    """Writes the page of a run, or of a grid of the runs with these ids, and returns its path."""
    if len(names) == 1:
        return write_run_page(home.path, run_page(home, composes, state))
    return write_run_page(home.path, grid_page(home, list(names)))


def draw_figures(home: RunDir, names: Sequence[str]) -> list[Path]:
    """Draws the curves of a single run, with the theory if it was computed, or the heat maps of a
    grid."""
    if len(names) == 1:
        table, theory = home.path / NAME, home.path / THEORY
        rows = read_rows(table)
        known = read_rows(theory) if theory.is_file() else None
        page = home.figures / "dynamics.png"
        with drawing(page):
            draw_run(rows, page, known)
        return [page]
    request = FigureRequest(only=frozenset(names), dynamics=False)
    maps = home.figures / "maps.png"
    with drawing(maps):
        return draw_all(home.path.parent, home.figures, request).paths
    return [maps]
