"""Feather and Arrow files are measured before anything in them is unpacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pytest

from jepa_lab.files import limits
from jepa_lab.files.arrow import arrow_names, read_arrow
from jepa_lab.files.limits import OverLimit

Z = np.random.default_rng(0).normal(size=(90, 6))
TABLE = pa.table(
    {
        "z": pa.FixedSizeListArray.from_arrays(pa.array(Z.ravel()), 6),
        "label": pa.array([f"c{k % 3}" for k in range(90)]).dictionary_encode(),
        "step": pa.array([None, *range(89)]),
    }
)


def written(folder: Path, packed: str) -> Path:
    path = folder / "f.feather"
    feather.write_feather(TABLE, path, compression=packed, chunksize=40)
    return path


@pytest.mark.parametrize("packed", ["uncompressed", "lz4", "zstd"])
def test_a_table_is_read_as_it_was_written(packed: str, tmp_path: Path) -> None:
    path = written(tmp_path, packed)
    assert read_arrow(path).equals(TABLE)
    assert arrow_names(path) == ["z", "label", "step"]


def test_a_stream_is_read_too(tmp_path: Path) -> None:
    with ipc.new_stream(tmp_path / "f.arrow", TABLE.schema) as writer:
        writer.write_table(TABLE)
    assert read_arrow(tmp_path / "f.arrow").equals(TABLE)
    assert arrow_names(tmp_path / "f.arrow") == TABLE.column_names


@pytest.mark.parametrize("packed", ["uncompressed", "lz4", "zstd"])
def test_a_damaged_file_is_refused_and_one_beyond_a_limit_too(
    packed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, packed)
    whole = path.read_bytes()
    for size in (0, 3, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises((ValueError, OSError, pa.ArrowException)):
            read_arrow(path)
    path.write_bytes(whole)
    monkeypatch.setattr(limits, "TABLE_ROWS", 50)
    with pytest.raises(OverLimit, match="80 rows; at most 50 are read"):
        read_arrow(path)


def test_zeros_that_are_packed_are_counted_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.feather"
    feather.write_feather(pa.table({"z": np.zeros(2**20)}), path, compression="zstd")
    assert path.stat().st_size < 2**17
    monkeypatch.setattr(limits, "TABLE_BYTES", 2**23 + 2**17)
    assert read_arrow(path).num_rows == 2**20
    monkeypatch.setattr(limits, "TABLE_BYTES", 2**22)
    with pytest.raises(OverLimit, match="unpacks to more than the 4 MB that are read"):
        read_arrow(path)


def test_the_first_version_of_feather_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.feather").write_bytes(b"FEA1" + b"\0" * 40)
    with pytest.raises(ValueError, match="Feather of version 1; write version 2"):
        read_arrow(tmp_path / "f.feather")
