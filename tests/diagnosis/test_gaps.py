"""NaN of a logger that writes a row for each step and a column for each metric, values that end not
finite, and what a history lacks."""

from __future__ import annotations

import math

import pytest

from feature_histories import history
from jepa_lab.diagnosis import Thresholds, judge
from jepa_lab.diagnosis.gaps import without_gaps

T = Thresholds()
NAN = math.nan


def loss(values: list[float]) -> dict[str, list]:
    return history() | {"train/loss/total": list(enumerate(values))}


def falling(n: int) -> list[float]:
    return [2 / (1 + i / 40) for i in range(n)]


@pytest.mark.parametrize("every", [3, 10])
def test_nan_between_finite_values_is_read_as_not_logged(every: int) -> None:
    values = [NAN if i % every == 1 else v for i, v in enumerate(falling(60))]
    verdict = judge(loss(values), taps=("z",))
    assert verdict.status == "healthy"
    assert f"NaN at {sum(map(math.isnan, values))} of 60 steps" in verdict.line()


def test_a_metric_that_is_logged_at_every_tenth_row_has_gaps_at_its_end_too() -> None:
    values = [v if i % 10 == 4 else NAN for i, v in enumerate(falling(60))]
    found, notes = without_gaps(loss(values), T)
    assert [step for step, _ in found["train/loss/total"]] == [4, 14, 24, 34, 44, 54]
    assert len(notes) == 1
    assert judge(loss(values), taps=("z",)).status == "healthy"


def test_a_loss_that_stays_nan_has_diverged_even_after_gaps() -> None:
    values = [NAN if i % 10 == 1 else v for i, v in enumerate(falling(60))]
    values[50:] = [NAN] * 10
    verdict = judge(loss(values), taps=("z",))
    assert (verdict.status, verdict.since_step) == ("diverged", 50)


def test_infinite_values_are_no_gaps() -> None:
    values = [math.inf if i % 10 == 1 else v for i, v in enumerate(falling(60))]
    assert without_gaps(loss(values), T)[0]["train/loss/total"][1] == (1, math.inf)


@pytest.mark.parametrize("bad", [NAN, math.inf])
def test_a_single_bad_batch_is_no_divergence(bad: float) -> None:
    values = falling(60)
    values[20] = bad
    assert judge(loss(values), taps=("z",)).status == "healthy"


def test_a_history_without_gaps_is_returned_as_it_is() -> None:
    given = loss(falling(60))
    assert without_gaps(given, T) == (given, [])


def test_a_history_of_a_spread_alone_names_what_is_missing() -> None:
    verdict = judge({"val/z/feature_std_l2": [(0, 0.9), (100, 0.001)]})
    assert verdict.status == "inconclusive"
    assert "only val/z/feature_std_l2 was logged" in verdict.line()
    assert "val/z/effective_rank and val/z/n is needed" in verdict.line()


def two_classes(probe: list[float]) -> dict[str, list]:
    ranks = [30.0, 22.0, 14.0, 8.0, 5.0, 3.0, 2.2, 1.9, 1.7, 1.6, 1.6, 1.6]
    found = history(rank=ranks) | {"reference/z/effective_rank": [(0, 30.0)]}
    steps = [step for step, _ in found["val/z/n"]]
    found["val/probe/class_from_z"] = list(zip(steps, probe, strict=True))
    found["reference/n_classes"] = [(0, 2.0)]
    return found


def test_a_probe_that_rose_contradicts_a_collapse_by_rank() -> None:
    rising = [0.6 + 0.03 * i for i in range(12)]
    verdict = judge(two_classes(rising), taps=("z",))
    assert verdict.status == "low_rank"
    assert "yet a probe tells the classes apart" in verdict.line()


@pytest.mark.parametrize("last", [0.55, 0.8])
def test_a_probe_that_fell_or_never_told_them_apart_does_not(last: float) -> None:
    falling_probe = [0.95] * 6 + [last] * 6
    assert judge(two_classes(falling_probe), taps=("z",)).status == "dimensional_collapse"
    assert judge(two_classes([0.6] * 12), taps=("z",)).status == "dimensional_collapse"
