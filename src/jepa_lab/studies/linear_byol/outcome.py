"""What a toy's command ends with: the files of every run, the summary of the grid, the verdict, the figures."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.summary import write_summary
from jepa_lab.studies.linear_byol.diagnosis import judge_toy
from jepa_lab.studies.linear_byol.plan import ToyPlan, ToyRun, yaml_of
from jepa_lab.studies.linear_byol.table import NAME, write_run

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
THEORY = "theory.parquet"  # beside a single run's table: the same with an infinite batch
NO_METRICS = ("epoch", "wall_s", "diverged", "diverged_step")


def finish_run(run: ToyRun, columns: dict[str, np.ndarray]) -> None:
    """Writes the run's table, configuration, summary and, last, its status: from then on it is finished."""
    folder = run.dir.make()
    settings = run.settings()
    write_run(folder.path / NAME, columns, settings, "completed")
    folder.create(yaml_of(settings))
    steps = columns["epoch"].tolist()
    history = {
        ("train/loss/total" if name == "loss" else f"val/{name}"): list(zip(steps, values.tolist(), strict=True))
        for name, values in columns.items()
        if values.ndim == 1 and name not in NO_METRICS
    }
    wall = float(columns["wall_s"][~columns["diverged"]][-1:].sum())
    write_summary(folder, history, judge_toy(columns).to_dict(), {"key": "val/readout_r2"}, {}, wall)
    folder.write_status("completed")


def show_outcome(plan: ToyPlan, wall_s: float, brief: bool) -> dict[str, Any]:
    """Prints what the configuration's runs came to, draws it, and returns the summary: the run's own, or that of the
    grid, whose figures are medians over its runs."""
    summaries = [run.dir.summary() or {} for run in plan.runs]
    summary = summaries[0] if len(plan.runs) == 1 else _of_grid(plan, summaries, wall_s)
    if not brief:
        print("\n".join(_table(summary, len(plan.runs))))
    figures = _draw(plan) if plan.config.figures else []
    print(f"\nverdict: {summary['verdict']['line']}\nrun:     {plan.home.path}", flush=True)
    if figures:
        print(f"figures: {plan.home.figures} ({len(figures)} files)", flush=True)
    return summary


def _of_grid(plan: ToyPlan, summaries: list[dict[str, Any]], wall_s: float) -> dict[str, Any]:
    """Writes the grid's summary.json and returns it."""
    counts = Counter(str(s["verdict"]["status"]) for s in summaries)
    told = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    status = counts.most_common(1)[0][0]
    line = f"{len(summaries)} runs: {told}"
    metrics: dict[str, dict[str, float]] = {}
    for key in summaries[0]["metrics"]:
        values = [s["metrics"][key]["last"] for s in summaries if s["metrics"].get(key, {}).get("last") is not None]
        if values:
            middle = statistics.median(values)
            metrics[key] = {"last": middle, "min": min(values), "max": max(values)}
    verdict = {**Verdict(status, confidence=max(counts.values()) / len(summaries)).to_dict(), "line": line}
    verdict["runs"] = dict(counts)
    content = {"metrics": metrics, "verdict": verdict, "monitor": {"key": "val/readout_r2"}, "wall_s": wall_s}
    write_json(plan.home.summary_path, {**content, "runs": [run.run_id for run in plan.runs], "parameters": {}})
    return content


def _table(summary: dict[str, Any], runs: int) -> list[str]:
    """Name and last value; of a grid the median with the range."""
    heads = "last" if runs == 1 else "median over the runs [lowest, highest]"
    width = 2 + max(len(name) for _, name, _ in SHOWN)
    lines = [f"{'':<{width}}{heads}"]
    for column, name, form in SHOWN:
        found = summary["metrics"].get(f"val/{column}")
        if found and found["last"] is not None:
            more = f"  [{found['min']:{form}}, {found['max']:{form}}]" if runs > 1 else ""
            lines.append(f"{name:<{width}}{found['last']:{form}}{more}")
    return lines if len(lines) > 1 else []  # all have diverged


def _draw(plan: ToyPlan) -> list[Path]:
    """The page of a single run, with the theory where it was computed; the maps of a grid."""
    from jepa_lab.studies.linear_byol.figures.all import Request, draw_all
    from jepa_lab.studies.linear_byol.figures.dynamics import draw_run

    if len(plan.runs) == 1:
        table, theory = plan.home.path / NAME, plan.home.path / THEORY
        known = pq.read_table(theory) if theory.is_file() else None
        return [draw_run(pq.read_table(table), plan.home.figures / "dynamics.png", known)]
    drawn = draw_all(
        plan.home.path.parent,
        plan.home.figures,
        Request(only=frozenset(run.run_id for run in plan.runs), dynamics=False),
    )
    return drawn.paths
