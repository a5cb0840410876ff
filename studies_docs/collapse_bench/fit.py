"""Fits the weights of the probability of a failure on the table that ships with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import yaml

from jepa_lab.diagnosis.odds import FILE, QUANTITIES
from jepa_lab.report.collapse_bench.odds_fit import by_rules, fit_odds, left_open, quantities_by_run
from jepa_lab.report.collapse_bench.runs import SHIPPED, load_runs

DIGITS = 4


def write() -> str:
    """Replaces the weights in odds.yaml by those of all shipped runs, keeps its first comment, and
    returns its place."""
    path = Path(str(files("jepa_lab.diagnosis").joinpath(FILE)))
    comment = [line for line in path.read_text().splitlines(keepends=True) if line[:1] == "#"]
    runs = load_runs(SHIPPED)
    ruled = by_rules(runs)
    odds = fit_odds(runs, left_open(quantities_by_run(runs), ruled))
    content = {
        "intercept": round(odds.intercept, DIGITS),
        "weights": {
            name: round(w, DIGITS) for name, w in zip(QUANTITIES, odds.weights, strict=True)
        },
    }
    path.write_text("".join(comment) + yaml.safe_dump(content, sort_keys=False))
    return f"written: {path}"
