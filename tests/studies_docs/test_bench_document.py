"""The counts of the verdict on the runs that ship with the package, and the document with them."""

from __future__ import annotations

from typing import Any

import pytest

from collapse_bench.document import BY, DOCUMENT, counts
from documents import filled
from jepa_lab.report.collapse_bench.runs import SHIPPED, load_runs
from jepa_lab.report.collapse_bench.score import TOTAL, score

CHANGED = "the rules changed their verdicts: run `python studies_docs/collapse_bench document`"


@pytest.fixture(scope="module")
def scores() -> dict[str, Any]:
    return score(load_runs(SHIPPED), [], (BY,))


def test_false_alarms_and_misses_of_the_verdict_are_unchanged(scores: dict[str, Any]) -> None:
    assert scores["labels"] == {"failed": 403, "good": 287, "undecided": 278}
    found = scores["rules"]["verdict"][BY][TOTAL]
    assert (found["false_alarms"], found["misses"]) == (65, 90), f"{CHANGED}, pin the new counts"


def test_the_document_has_the_computed_counts(scores: dict[str, Any]) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert filled(document, {"counts": counts(scores)}) == document, CHANGED
