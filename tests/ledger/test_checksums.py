"""A flipped bit in a table of metrics is noticed, wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jepa_lab.errors import UserError
from jepa_lab.files.tables import read_table
from jepa_lab.ledger import segments
from jepa_lab.ledger.parquet import ParquetLedger, read_metrics
from jepa_lab.studies.linear_byol import table as toy


def flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def ledger_at(path: Path, rows: int = 60) -> bytes:
    ledger = ParquetLedger(path, flush_s=1e9)
    for step in range(rows):
        ledger.append(step, 0, {"a": step / 7, "val/z/rankme": float(step % 5)})
    ledger.flush(force=True)
    return path.read_bytes()


def outcomes(path: Path, content: bytes, read: Callable[[Path], object]) -> dict[str, int]:
    """Flips one bit of every second byte, and counts what reading then gives: error, same or
    other."""
    expected, found = read(path), {"error": 0, "same": 0, "other": 0}
    for place in range(0, len(content), 2):
        path.write_bytes(flipped(content, place, place // 2 % 8))
        try:
            found["same" if read(path) == expected else "other"] += 1
        except UserError as error:
            found["error"] += str(path) in str(error) and "\n" not in str(error)
    return found


def test_no_flipped_bit_changes_the_metrics_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    content = ledger_at(path)
    found = outcomes(path, content, segments.read_stored)
    assert found["other"] == 0
    assert found["error"] > 0.45 * len(content)


def test_no_flipped_bit_changes_the_toys_table_or_its_settings(tmp_path: Path) -> None:
    path = tmp_path / toy.NAME
    columns = {
        "epoch": np.arange(1, 20),
        "loss": np.linspace(1, 0, 19),
        "lr_pred": np.full(19, 1e-3),
        "sv_pred": np.random.default_rng(0).normal(size=(19, 2)),
    }
    toy.write_run(path, columns, {"run_id": "x", "seed": 3, "tau": 1e-3}, "completed")
    content = path.read_bytes()

    def read(path: Path) -> str:
        table = toy.read_rows(path)
        return f"{table.to_pydict()} {table.schema.metadata}"

    found = outcomes(path, content, read)
    assert found["other"] == 0
    assert found["error"] > 0.45 * len(content)


def test_every_reader_of_parquet_reads_a_file_with_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    ledger_at(path)
    assert pq.read_table(path).equals(read_metrics(path))
    assert pq.read_table(path, columns=["value"], memory_map=True).num_rows == 120


def test_a_file_of_an_earlier_version_without_checksums_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    ledger_at(path)
    table = pq.read_table(path)
    pq.write_table(table, path, compression="zstd")
    assert read_metrics(path).equals(table)
    assert read_table(path).equals(table)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 3, b"x" * 100])
def test_a_file_that_is_no_table_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.parquet: not a readable metrics file"):
        read_metrics(tmp_path)


def test_a_damaged_segment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.parquet"
    monkeypatch.setattr("jepa_lab.ledger.parquet.SMALL_ROWS", 20)
    ledger_at(path)
    ledger = ParquetLedger.load(path, flush_s=1e9)
    ledger.append(99, 0, {"a": 1.0})
    ledger.flush(force=True)
    (segment,) = tmp_path.glob(".metrics/*.parquet")
    content = segment.read_bytes()
    segment.write_bytes(flipped(content, 40, 3))
    with pytest.raises(UserError, match=r"\.metrics/000001\.parquet: not a readable metrics file"):
        read_metrics(tmp_path)
