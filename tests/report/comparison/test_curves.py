import math
from pathlib import Path

import pytest

from comparison_runs import make_run
from jepa_lab.report.comparison.curves import (
    POINTS,
    band,
    conflicts,
    gradient_norms,
    points_for,
    read_curves,
    shown_keys,
)

KEY = "val/skill"


def line(slope: float, steps: range, start: float = 0.0) -> dict[str, list[tuple[int, float]]]:
    return {KEY: [(step, start + slope * step) for step in steps]}


def test_a_band_has_mean_lowest_and_highest_value_over_seeds() -> None:
    found = band([line(1, range(0, 5)), line(2, range(0, 5)), line(6, range(0, 5))], KEY)
    assert found is not None
    assert (found.steps, found.n) == ([0, 1, 2, 3, 4], 3)
    assert (found.mean, found.low, found.high) == (
        [0, 3, 6, 9, 12],
        [0, 1, 2, 3, 4],
        [0, 6, 12, 18, 24],
    )


def test_thinning_keeps_both_ends_and_only_logged_values() -> None:
    found = band([line(0.5, range(0, 10_001))], KEY)
    assert found is not None
    assert len(found.steps) == POINTS
    assert (found.steps[0], found.steps[-1]) == (0, 10_000)
    assert found.mean == [0.5 * step for step in found.steps]


def test_seeds_logged_at_different_steps_are_interpolated() -> None:
    found = band([line(1, range(0, 101, 10)), line(1, range(5, 96, 10))], KEY)
    assert found is not None
    assert (found.steps[0], found.steps[-1]) == (5, 95)
    assert found.low == pytest.approx(found.high)
    assert found.mean == pytest.approx(found.steps)


def test_a_nan_of_one_seed_is_a_nan_of_the_band() -> None:
    broken = {KEY: [(0, 1.0), (1, math.nan), (2, 1.0)]}
    found = band([broken, line(0, range(3), 1.0)], KEY)
    assert found is not None
    assert [math.isnan(value) for value in found.mean] == [False, True, False]
    assert math.isnan(found.low[1])


def test_a_step_logged_twice_has_its_last_value() -> None:
    found = band([{KEY: [(0, 1.0), (5, 2.0), (5, 3.0)]}], KEY)
    assert found is not None
    assert (found.steps, found.mean) == ([0, 5], [1.0, 3.0])


def test_missing_curves_and_curves_without_common_steps_have_no_band() -> None:
    assert band([{}, {KEY: []}], KEY) is None
    assert band([line(1, range(0, 3)), line(1, range(10, 12))], KEY) is None


def test_curves_are_read_from_the_file_and_a_damaged_file_has_a_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", 0, extra={"val/other": 1.0, "train/lr": 0.1})
    history, why = read_curves(run, ["val/other"])
    assert why is None
    assert history["val/other"] == [(100, 1.0)]
    assert "train/lr" not in history
    assert [key for key in shown_keys([history], ["val/other"]) if "loss" in key] == [
        "train/loss/total",
        "train/loss/prediction",
    ]
    (run / "metrics.parquet").write_bytes(b"PAR1")
    history, why = read_curves(run)
    assert history == {}
    assert why


def test_conflict_is_the_share_of_negative_cosines() -> None:
    first = {"train/gradient_cosine/rate": [(0, 0.5), (1, -0.5), (2, -0.6)]}
    more = {"train/gradient_cosine/rate": [(0, -1.0), (1, math.nan)]}
    assert conflicts([first, more, {}]) == {"rate": (pytest.approx(-0.4), 0.75, 4)}
    assert conflicts([{}]) == {}


def test_gradient_norms_are_means_over_all_measurements_of_all_runs() -> None:
    runs = [
        {"train/gradient/a": [(0, 1.0), (1, 3.0)]},
        {"train/gradient/a": [(0, 8.0)], "train/gradient/b": [(0, 0.0)]},
    ]
    assert gradient_norms(runs) == {"a": 4.0, "b": 0.0}


def test_many_curves_have_fewer_points_each() -> None:
    assert points_for(3, 20) == POINTS
    assert points_for(200, 20) == 21
    assert points_for(10_000, 20) == 20
