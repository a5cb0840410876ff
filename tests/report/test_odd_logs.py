"""Values and names that no logger of ours writes are read or are one line, and no traceback."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jepa_lab.cli.diagnosing import report_on
from jepa_lab.diagnosis.views import common_share
from jepa_lab.errors import UserError
from jepa_lab.ledger.segments import SCHEMA
from jepa_lab.monitor.statistics import TapStatistics

STEPS = (0, 100, 200, 300)


def metrics_of_views() -> dict[str, float]:
    statistics = TapStatistics()
    noise = torch.randn(100, 4, 16, generator=torch.Generator().manual_seed(0))
    statistics.update(noise[:, :1] + noise)
    return statistics.values()


VALUES = metrics_of_views()


def ledger(folder: Path, prefix: str = "val/", **other: Any) -> Path:
    """Writes the ledger of a tap z under this prefix, with other values of some metrics."""
    values = {f"{prefix}z/{name}": value for name, value in {**VALUES, **other}.items()}
    rows = [
        {"step": step, "epoch": 0, "key": key, "value": value, "time": 0.0}
        for step in STEPS
        for key, value in values.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "log.parquet")
    return folder / "log.parquet"


@pytest.mark.parametrize("prefix", ["/", ""])
def test_a_log_with_an_empty_prefix_has_the_verdict_of_any_other(
    prefix: str, tmp_path: Path
) -> None:
    wanted = report_on(ledger(tmp_path), "ours")[1]
    assert wanted["verdict"]["status"] == "healthy"
    text, content = report_on(ledger(tmp_path, prefix), "ours")
    assert content["verdict"] == wanted["verdict"]
    assert "prefix none" in text


@pytest.mark.parametrize("value", [0.0, -3.0, math.nan, math.inf])
@pytest.mark.parametrize("name", ["views", "view_correlation", "within_share", "n", "d"])
def test_no_value_of_a_metric_is_a_traceback(name: str, value: float, tmp_path: Path) -> None:
    _, content = report_on(ledger(tmp_path, **{name: value}), "published")
    assert content["verdict"]["status"]


@pytest.mark.parametrize("views", [0.0, math.nan, math.inf])
def test_a_number_of_views_that_is_none_counts_as_unknown(views: float) -> None:
    known = {"within_share": 0.3}
    assert common_share({**known, "views": views}) == common_share(known)


def test_a_correlation_that_is_not_finite_counts_as_unknown() -> None:
    known = {"within_share": 0.3, "views": 4.0}
    assert common_share({**known, "view_correlation": math.nan}) == common_share(known)
    assert common_share({"view_correlation": math.nan}) is None


@pytest.mark.parametrize("column", ["step", "key", "value"])
def test_a_row_without_a_step_a_key_or_a_value_is_left_out(column: str, tmp_path: Path) -> None:
    path = ledger(tmp_path)
    wanted = report_on(path, "ours")[1]["verdict"]
    row = {"step": 400, "epoch": 0, "key": "val/z/effective_rank", "value": 1.0, "time": 0.0}
    more = pa.Table.from_pylist([{**row, column: None}], SCHEMA)
    pq.write_table(pa.concat_tables([pq.read_table(path), more]), path)
    assert report_on(path, "ours")[1]["verdict"] == wanted


@pytest.mark.parametrize("step", ["99999999999999999999", "-1e300", "9007199254740993.0"])
def test_steps_beyond_whole_numbers_are_one_line(step: str, tmp_path: Path) -> None:
    rows = "".join(f"{s},{1 / (1 + k)}\n" for k, s in enumerate(["0", "1", "2", step]))
    (tmp_path / "log.csv").write_text(f"step,train/loss\n{rows}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="which counts no steps") as error:
            report_on(tmp_path / "log.csv", "ours")
    assert str(error.value).startswith(f"{tmp_path / 'log.csv'}: step has a value of ")
