"""The end of a toy's command: the files of every run, the summary of the grid, the verdict, the
printed table and the figures."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.summary import write_summarised
from jepa_lab.report.figures import drawing
from jepa_lab.report.outcome import command_line
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.table import TableRow, plain_table
from jepa_lab.studies.linear_byol.column_summary import summarise_columns
from jepa_lab.studies.linear_byol.diagnosis import judge_toy
from jepa_lab.studies.linear_byol.figures.all import FigureRequest, draw_all
from jepa_lab.studies.linear_byol.figures.dynamics import draw_run
from jepa_lab.studies.linear_byol.resume import ToyPlan, ToyRun, yaml_of
from jepa_lab.studies.linear_byol.table import NAME, metrics_of, read_rows, write_run

SHOWN = [  # column, name, format
    ("loss_population", "loss, infinite batch", ".4f"),
    ("loss_star", "least loss of these encoders", ".4f"),
    ("excess_loss", "above it", ".3g"),
    ("W_Fro_raw", "|P - P*|", ".3g"),
    ("W_Fro_aligned", "after the best rotations", ".3g"),
    ("BA_err_aligned", "|R'BA - I|", ".3g"),
    ("readout_r2", "read-out R² of the latents", ".4f"),
    ("readout_r2_mean", "mean over the latents", ".4f"),
    ("tracking_gap", "|B_o - B_t|", ".3g"),
    ("erank_encoded", "effective rank of z_o", ".2f"),
    ("erank_pred", "of its prediction", ".2f"),
    ("Hmax", "H_max", ".2f"),
    ("alpha_bound", "largest stable lr_pred", ".3g"),
    ("alpha_H_over_tau", "effective step x H / tau", ".3g"),
]
MOST_CELLS = 3  # cells of the grid that the line names
# the table of the same run with an infinite batch, in the folder of a single run
THEORY = "theory.parquet"


def finish_run(run: ToyRun, columns: dict[str, np.ndarray]) -> None:
    """Writes the run's table, configuration and summary, and last its status, which marks the run
    as finished. Raises RuntimeError for a run without metrics."""
    folder = run.dir.create(yaml_of(run.settings))
    settings, metrics, steps = run.settings, metrics_of(columns), columns["epoch"]
    if not metrics or not len(steps):
        raise RuntimeError(f"{folder.path}: no metrics were measured")
    write_run(folder.path / NAME, columns, settings, "completed")
    wall = float(columns["wall_s"][~columns["diverged"]][-1:].sum())
    verdict = judge_toy(columns).to_dict()
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


def show_outcome(plan: ToyPlan, summary: dict[str, Any], brief: bool) -> None:
    """Prints the results of the configuration's runs, draws the figures and writes the page."""
    home, rows = plan.home, table_of(summary, len(plan.runs))
    if not brief and rows:
        print(plain_table(rows))
    figures = _draw(plan) if plan.config.figures else []
    line = summary["verdict"]["line"]
    page = write_run_page(
        home.path,
        title=f"{plan.config.name}, {len(plan.runs)} run{'s' * (len(plan.runs) > 1)}",
        verdict_line=line,
        table_rows=rows,
        command=command_line(home),
        config_yaml=home.config_path.read_text(encoding="utf-8"),
    )
    print(f"\nverdict: {line}\nrun:     {home.path}", flush=True)
    if figures:
        print(f"figures: {home.figures} ({len(figures)} files)", flush=True)
    print(f"page:    {page}", flush=True)


def table_of(summary: dict[str, Any], runs: int) -> list[TableRow]:
    """Returns rows with the name and the last value of each metric, or with the median and the
    range over the runs of a grid. Returns [] if all runs diverged."""
    section = "At the last step" if runs == 1 else "Median over the runs, lowest to highest"
    rows = []
    for column, name, form in SHOWN:
        found = summary["metrics"].get(f"val/{column}")
        if found and found["last"] is not None:
            value = f"{found['last']:{form}}"
            span = f"{found['min']:{form}} to {found['max']:{form}}" if runs > 1 else ""
            rows.append(TableRow(section, name, validation=value, reference=span))
    return rows


def _draw(plan: ToyPlan) -> list[Path]:
    """Draws the page of a single run, with the theory if it was computed, or the heat maps of a
    grid."""
    if len(plan.runs) == 1:
        table, theory = plan.home.path / NAME, plan.home.path / THEORY
        known = read_rows(theory) if theory.is_file() else None
        page = plan.home.figures / "dynamics.png"
        with drawing(page):
            draw_run(read_rows(table), page, known)
        return [page]
    request = FigureRequest(only=frozenset(run.run_id for run in plan.runs), dynamics=False)
    maps = plan.home.figures / "maps.png"
    with drawing(maps):
        return draw_all(plan.home.path.parent, plan.home.figures, request).paths
    return [maps]
