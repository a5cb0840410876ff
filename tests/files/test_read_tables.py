"""Tables of too many rows or bytes are refused before their columns are read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.tables import open_table, read_table
from jepa_lab.ledger.parquet import ParquetLedger, read_metrics
from jepa_lab.studies.linear_byol.figures.runs import find_runs


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    ledger = ParquetLedger(tmp_path / "metrics.parquet")
    for step in range(100):
        ledger.append(step, 0, {"train/loss/total": 1.0})
    ledger.flush(force=True)
    return ledger.path


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("TABLE_ROWS", 99, "100 rows; at most 99 are read"), ("TABLE_BYTES", 9, "at most 0 MB")],
)
def test_a_table_beyond_a_limit_is_refused(
    limit: str, value: int, message: str, metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_table(metrics).num_rows == 100
    monkeypatch.setattr(limits, limit, value)
    with pytest.raises(OverLimit, match=message):
        open_table(metrics)
    with pytest.raises(UserError, match=f"{metrics}: .*{message}"):
        read_metrics(metrics)


def test_values_that_a_dictionary_stores_once_are_counted_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "features.parquet"
    pq.write_table(pa.table({"a": [0.5] * 10_000, "b": [0.5] * 10_000}), path)
    assert pq.ParquetFile(path).metadata.row_group(0).total_byte_size < 1000
    monkeypatch.setattr(limits, "TABLE_BYTES", 159_999)
    with pytest.raises(OverLimit, match="are read"):
        open_table(path)
    monkeypatch.setattr(limits, "TABLE_BYTES", 160_000)
    assert read_table(path).num_rows == 10_000


def test_nested_settings_in_the_metadata_of_a_toy_run_are_refused(tmp_path: Path) -> None:
    settings = '{"config": ' + '{"a":' * 900 + "1" + "}" * 901
    table = pa.table({"epoch": [1]}).replace_schema_metadata({"jepa_lab": settings})
    pq.write_table(table, tmp_path / "linear_byol.parquet")
    with pytest.raises(UserError, match="nested more than 50 levels deep"):
        find_runs(tmp_path)


def test_a_damaged_number_of_rows_is_refused(tmp_path: Path) -> None:
    """Arrow would return the first 44 rows."""
    path = tmp_path / "features.parquet"
    pq.write_table(pa.table({"z": range(300)}), path)
    content, rows, places = path.read_bytes(), b"\xd8\x04", []  # 300 as Thrift writes it
    while (at := content.find(rows, places[-1] + 1 if places else 0)) >= 0:
        places.append(at)
    for place in places:
        path.write_bytes(content[:place] + b"\xd8\x00" + content[place + 2 :])
        with suppress(pa.ArrowException, OSError):
            assert read_table(path).num_rows == 300, place
