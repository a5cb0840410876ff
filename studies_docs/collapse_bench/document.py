"""Writes the counts of docs/collapse_bench.md from the table that ships with the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from documents import write_tables
from jepa_lab.report.collapse_bench.runs import SHIPPED, load_runs
from jepa_lab.report.collapse_bench.score import TOTAL, score
from jepa_lab.report.collapse_bench.text import share

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "collapse_bench.md"
BY = "data"  # what is left out where a threshold is fitted


def write() -> str:
    """Replaces the counts in the document, and returns its place."""
    write_tables({"counts": counts(score(load_runs(SHIPPED), [], (BY,)))}, DOCUMENT)
    return f"written: {DOCUMENT}"


def counts(scores: Mapping[str, Any]) -> str:
    """Returns the table of all rules, the best sum of both rates first."""
    labels = ", ".join(f"{n} {label}" for label, n in scores["labels"].items())
    rules = {name: by[BY][TOTAL] for name, by in scores["rules"].items()}
    lines = [
        f"{scores['runs']} runs: {labels}.",
        "",
        "| rule | false alarms | misses | sum of both | unsure of good / failed |",
        "|---|---|---|---|---|",
    ]
    for name, c in sorted(rules.items(), key=lambda item: _sum(item[1])):
        cells = [
            f"`{name}`",
            share(c["false_alarms"], c["good"]),
            share(c["misses"], c["failed"]),
            f"{100 * _sum(c):.0f} %",
            f"{c['unsure_good']} / {c['unsure_failed']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _sum(c: Mapping[str, int]) -> float:
    return c["false_alarms"] / c["good"] + c["misses"] / c["failed"]
