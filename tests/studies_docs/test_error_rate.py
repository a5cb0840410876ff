"""The verdict compared with the labels of real runs, judged again from their statistics. Every
change of a rule shows here."""

import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "studies_docs"))

from error_rate_judged import DATA, Judged, Run, half, judged, load, save, verdict_of
from error_rate_tables import brier, content, counts, wilson

# counts of the held half; if a rule changes them, check that this is intended, run
# `python studies_docs/error_rate.py report` and replace the counts here
PINNED = {
    "digits": {"good": 53, "failed": 21, "false_alarms": 25, "misses": 1, "silent": 6},
    "toy": {"good": 27, "failed": 40, "false_alarms": 2, "misses": 0, "silent": 0},
}
# 8 false alarms on the digits before: in 59, 92 and 104 the rank of z fell to 3 to 4 directions
# while the class probe rose from 0.2 to 0.5, which is no collapse; in 84 a skill "fell" from -0.02
# to -0.25 under a regulariser, and was never above 0. All four stay no_learning. No miss was added
PINNED_OF_FEATURES = {
    "digits": {"good": 53, "failed": 21, "false_alarms": 4, "misses": 1, "silent": 6},
    "toy": {"good": 27, "failed": 40, "false_alarms": 0, "misses": 7, "silent": 0},
}
AGAIN = (
    "the rules changed their verdicts: run `python studies_docs/error_rate.py report` and pin the"
    " new counts here"
)


@pytest.fixture(scope="module")
def found() -> list[Judged]:
    return judged(load(DATA))


def of_half(found: list[Judged], which: str, study: str) -> list[Judged]:
    return [j for j in found if j.run.half == which and j.run.study == study]


@pytest.mark.parametrize("study", ["digits", "toy"])
def test_both_halves_have_failed_and_good_runs_of_each_study(
    found: list[Judged], study: str
) -> None:
    assert len(found) >= 300
    assert all(j.run.half == half(j.run.id) for j in found)
    for which in ("fit", "held"):
        labels = [j.run.oracle for j in of_half(found, which, study)]
        assert min(labels.count("failed"), labels.count("good")) >= 10, (which, study)


@pytest.mark.parametrize("study", ["digits", "toy"])
def test_false_alarms_and_misses_of_the_held_half_are_unchanged(
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


def test_the_document_contains_the_computed_section(found: list[Judged]) -> None:
    assert content(found) in (ROOT / "docs" / "diagnosis.md").read_text(encoding="utf-8"), AGAIN


def test_the_confidence_predicts_better_than_the_share_of_right_verdicts(
    found: list[Judged],
) -> None:
    held = [j for j in found if j.run.half == "held" and j.weighed]
    share = sum(bool(j.right) for j in held) / len(held)
    assert brier(held) < share * (1 - share)


def test_a_verdict_on_half_of_a_run_does_not_read_later_steps(found: list[Judged]) -> None:
    run = next(j.run for j in found if j.run.study == "digits" and j.verdict.since_step is not None)
    steps = [s for s, _ in run.history["val/z/effective_rank"]]
    middle = steps[len(steps) // 2]
    cut = {k: [p for p in points if p[0] <= middle] for k, points in run.history.items()}
    shorter = Run(**{**vars(run), "history": {k: p for k, p in cut.items() if p}})
    assert verdict_of(run, until=middle) == verdict_of(shorter)


def test_saved_statistics_are_loaded_unchanged(found: list[Judged], tmp_path: Path) -> None:
    runs = [j.run for j in found[::40]]
    save(tmp_path / "again.parquet", runs)
    again = load(tmp_path / "again.parquet")
    assert [(r.id, r.half, r.oracle, r.config) for r in again] == [
        (r.id, r.half, r.oracle, r.config) for r in runs
    ]
    assert [r.status for r in map(verdict_of, again)] == [r.status for r in map(verdict_of, runs)]


def test_wilson_matches_known_intervals_and_is_0_to_1_without_runs() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
