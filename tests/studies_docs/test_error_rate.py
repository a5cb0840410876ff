"""The verdict against the labels of real runs, re-judged from their statistics: every change of a
rule shows here."""

import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "studies_docs"))

from error_rate_judged import DATA, Judged, Run, half, judged, load, save, verdict_of
from error_rate_tables import brier, content, counts, wilson

# of the held half; a rule that changes them is to be looked at, then `python
# studies_docs/error_rate.py report` run and the numbers here replaced
PINNED = {
    "digits": {"good": 59, "failed": 21, "false_alarms": 25, "misses": 1, "silent": 0},
    "toy": {"good": 27, "failed": 40, "false_alarms": 2, "misses": 0, "silent": 0},
}
PINNED_OF_FEATURES = {
    "digits": {"good": 59, "failed": 21, "false_alarms": 8, "misses": 1, "silent": 0},
    "toy": {"good": 27, "failed": 40, "false_alarms": 0, "misses": 7, "silent": 0},
}
AGAIN = (
    "the rules changed what they say: run `python studies_docs/error_rate.py report` and pin the"
    " new counts here"
)


@pytest.fixture(scope="module")
def found() -> list[Judged]:
    return judged(load(DATA))


def of_half(found: list[Judged], which: str, study: str) -> list[Judged]:
    return [j for j in found if j.run.half == which and j.run.study == study]


@pytest.mark.parametrize("study", ["digits", "toy"])
def test_both_halves_hold_failed_and_good_runs_of_either_study(
    found: list[Judged], study: str
) -> None:
    assert len(found) >= 300
    assert all(j.run.half == half(j.run.id) for j in found)
    for which in ("fit", "held"):
        labels = [j.run.oracle for j in of_half(found, which, study)]
        assert min(labels.count("failed"), labels.count("good")) >= 10, (which, study)


@pytest.mark.parametrize("study", ["digits", "toy"])
def test_false_alarms_and_misses_of_the_held_half_are_those_that_were_measured(
    found: list[Judged], study: str
) -> None:
    held = of_half(found, "held", study)
    assert counts(held) == PINNED[study], AGAIN
    assert counts(held, "the verdict on the features") == PINNED_OF_FEATURES[study], AGAIN


def test_the_verdict_is_right_more_often_than_the_published_rules(found: list[Judged]) -> None:
    held = [j for j in found if j.run.half == "held"]
    ours, published = counts(held), counts(held, "the published rules")

    def wrong(c: dict[str, int]) -> float:
        return c["false_alarms"] / c["good"] + c["misses"] / c["failed"]

    assert wrong(ours) < wrong(published)


def test_the_document_holds_what_is_computed(found: list[Judged]) -> None:
    assert content(found) in (ROOT / "docs" / "diagnosis.md").read_text(encoding="utf-8"), AGAIN


def test_the_confidence_says_more_than_the_share_of_right_verdicts(found: list[Judged]) -> None:
    held = [j for j in found if j.run.half == "held" and j.weighed]
    share = sum(bool(j.right) for j in held) / len(held)
    assert brier(held) < share * (1 - share)


def test_a_verdict_from_half_of_a_run_reads_nothing_that_came_later(found: list[Judged]) -> None:
    run = next(j.run for j in found if j.run.study == "digits" and j.verdict.since_step is not None)
    steps = [s for s, _ in run.history["val/z/effective_rank"]]
    middle = steps[len(steps) // 2]
    cut = {k: [p for p in points if p[0] <= middle] for k, points in run.history.items()}
    shorter = Run(**{**vars(run), "history": {k: p for k, p in cut.items() if p}})
    assert verdict_of(run, until=middle) == verdict_of(shorter)


def test_the_statistics_come_back_as_they_were_written(found: list[Judged], tmp_path: Path) -> None:
    runs = [j.run for j in found[::40]]
    save(tmp_path / "again.parquet", runs)
    again = load(tmp_path / "again.parquet")
    assert [(r.id, r.half, r.oracle, r.config) for r in again] == [
        (r.id, r.half, r.oracle, r.config) for r in runs
    ]
    assert [r.status for r in map(verdict_of, again)] == [r.status for r in map(verdict_of, runs)]


def test_wilson_is_the_known_interval_and_knows_nothing_of_no_runs() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
