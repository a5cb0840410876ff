import json
import math
from pathlib import Path

import numpy as np
import pytest

from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.ledger.summary import summarise, write_summary
from jepa_lab.studies.linear_byol.column_summary import summarise_columns


def test_the_five_numbers_of_a_metric() -> None:
    history = {"a": [(0, 3.0), (10, -1.0), (20, 5.0), (30, 2.0)]}
    assert summarise(history) == {
        "a": {"last": 2.0, "min": -1.0, "max": 5.0, "min_step": 10, "max_step": 20}
    }


def test_the_first_step_wins_a_tie() -> None:
    entry = summarise({"a": [(0, 1.0), (10, 1.0)]})["a"]
    assert (entry["min_step"], entry["max_step"]) == (0, 0)


def test_nan_is_skipped_by_the_extrema_and_kept_as_the_last_value() -> None:
    entry = summarise({"a": [(0, math.nan), (10, 2.0), (20, math.nan)]})["a"]
    assert math.isnan(entry["last"] or 0.0)
    assert (entry["min"], entry["max"], entry["min_step"], entry["max_step"]) == (2.0, 2.0, 10, 10)


def test_a_metric_that_is_always_nan_has_no_extrema() -> None:
    entry = summarise({"a": [(0, math.nan)]})["a"]
    assert [entry[key] for key in ("min", "max", "min_step", "max_step")] == [None] * 4


def test_an_infinite_value_is_the_maximum_of_a_run_that_diverged() -> None:
    entry = summarise({"a": [(0, 1.0), (10, math.inf)]})["a"]
    assert (entry["max"], entry["max_step"]) == (math.inf, 10)


def test_an_empty_history_gives_no_metrics() -> None:
    assert summarise({}) == {}
    assert summarise({"a": []}) == {}


def test_summary_json_is_strict_and_complete(tmp_path: Path) -> None:
    run = RunDir(tmp_path, "e", "id").create("")
    history = {"a": [(0, 1.0), (1, math.nan)]}
    path = write_summary(
        run, history, {"status": "healthy"}, {"key": "a"}, {"total": 7}, 1.5, {"devices": 1}
    )
    assert path == run.summary_path
    assert "NaN" not in path.read_text()
    assert json.loads(path.read_text()) == {
        "metrics": {"a": {"last": None, "min": 1.0, "max": 1.0, "min_step": 0, "max_step": 0}},
        "verdict": {"status": "healthy"},
        "monitor": {"key": "a"},
        "parameters": {"total": 7},
        "wall_s": 1.5,
        "devices": 1,
    }
    assert write_summary(run.path, history, {}, {}, {}, 0.0) == path


def test_extra_keys_may_not_replace_a_fixed_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="verdict"):
        write_summary(tmp_path, {}, {}, {}, {}, 0.0, {"verdict": 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        [3.0, -1.0, 5.0, -1.0, 5.0],
        [math.nan, 2.0, math.nan],
        [math.nan],
        [math.inf, math.nan, -math.inf],
        [math.nan, math.inf],
        [0.0, -0.0],
    ],
)
def test_columns_are_summarised_as_their_history_is(values: list[float]) -> None:
    steps = list(range(0, 10 * len(values), 10))
    expected = summarise({"a": list(zip(steps, values, strict=True))})
    found = summarise_columns(np.array(steps), {"a": np.array(values)})
    assert repr(found) == repr(expected)
    numbers = [value for value in values if not math.isnan(value)]
    if numbers:
        low, high = found["a"]["min_step"], found["a"]["max_step"]
        assert (low, high) == tuple(steps[values.index(pick(numbers))] for pick in (min, max))
