"""The counts of the verdict on the runs that ship with the package, and the document with them."""

from __future__ import annotations

from typing import Any

import pytest

from collapse_bench.document import BY, DOCUMENT, tables
from documents import filled
from jepa_lab.diagnosis.odds import Odds
from jepa_lab.report.collapse_bench.odds_fit import by_rules, fit_odds, left_open, quantities_by_run
from jepa_lab.report.collapse_bench.runs import SHIPPED, load_runs
from jepa_lab.report.collapse_bench.score import TOTAL, score

CHANGED = "the rules changed their verdicts: run `python studies_docs/collapse_bench document`"


@pytest.fixture(scope="module")
def scores() -> dict[str, Any]:
    return score(load_runs(SHIPPED))


def test_false_alarms_and_misses_of_the_verdict_are_unchanged(scores: dict[str, Any]) -> None:
    assert scores["labels"] == {"failed": 403, "good": 287, "undecided": 278}
    found = scores["rules"]["verdict"][BY][TOTAL]
    assert (found["false_alarms"], found["misses"]) == (13, 20), f"{CHANGED}, pin the new counts"


def test_the_document_has_the_computed_counts(scores: dict[str, Any]) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert filled(document, tables(load_runs(SHIPPED), scores)) == document, CHANGED


def test_the_shipped_weights_are_those_of_the_shipped_runs() -> None:
    runs = load_runs(SHIPPED)
    odds = fit_odds(runs, left_open(quantities_by_run(runs), by_rules(runs)))
    shipped = Odds.shipped()
    assert (odds.intercept, *odds.weights) == pytest.approx(
        (shipped.intercept, *shipped.weights), abs=1e-3
    )
