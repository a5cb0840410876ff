"""Writes each figure with its numbers as CSV, and the files of the best cells."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lab.ledger.atomic import write_atomic, write_json
from jepa_lab.report.figures import save
from jepa_lab.studies.linear_byol.figures.cells import Cell
from jepa_lab.studies.linear_byol.figures.style import DPI, Heading, settle


def write(figure: Any, cells: Sequence[Cell], rows: str, path: Path) -> list[Path]:
    """Writes the figure, and beside it a CSV file with the numbers that it shows. A cell whose
    seeds mostly diverged has no number."""
    lines = [
        {
            "batch_size": cell.batch_size,
            "tau": cell.tau,
            rows: cell.row,
            "beta": cell.beta_used,
            "n_seeds": cell.n_seeds,
            "n_diverged": cell.n_diverged,
            "mean": cell.mean,
            "sd": cell.sd,
            "median": cell.quantile(0.5),
            "min": cell.quantile(0),
            "max": cell.quantile(1),
            "n_missing": cell.n_missing,
            "alpha_used": cell.alpha,
            "Hmax": cell.hmax,
        }
        for cell in cells
    ]
    save(settle(figure), path, DPI)
    numbers = path.with_suffix(".csv")
    write_atomic(numbers, _csv(lines))
    return [path, numbers]


def best_row(heading: Heading, metric: str, cell: Cell) -> dict[str, Any]:
    row = {
        "mode": heading.mode,
        "batch_size": cell.batch_size,
        "metric": metric,
        "epoch": heading.epoch,
        "tau": cell.tau,
        "c": cell.row if heading.rows == "c" else None,
        "alpha": cell.alpha,
        "beta": cell.beta_used,
        "n_seeds": cell.n_seeds,
        "mean": cell.mean,
        "sd": cell.sd,
        "score": cell.score(metric),
        "Hmax": cell.hmax,
    }
    if heading.theory is not None and cell.tau > 0:
        effective = heading.theory.effective(cell.alpha)
        row |= {
            "alpha_eff_over_tau": effective / cell.tau,
            "alpha_eff_H_over_tau": effective * cell.hmax / cell.tau,
            "share_of_bound": cell.alpha / heading.theory.bound,
        }
    return row


def write_best(rows: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    table, text = out / "best_cells.csv", out / "best_cells.json"
    out.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row)) or [
        "mode",
        "batch_size",
        "metric",
        "epoch",
    ]
    write_atomic(table, _csv([{name: row.get(name) for name in names} for row in rows], names))
    write_json(text, {"score": "mean over seeds of log10, no seed diverged", "best": list(rows)})
    return [table, text]


def _csv(rows: Sequence[dict[str, Any]], names: Sequence[str] = ()) -> str:
    """Returns CSV text. Missing values and NaN are empty, floats have full precision."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    names = list(names or rows[0])
    writer.writerow(names)
    for row in rows:
        writer.writerow(
            [
                "" if v is None or (isinstance(v, float) and math.isnan(v)) else v
                for v in row.values()
            ]
        )
    return content.getvalue()
