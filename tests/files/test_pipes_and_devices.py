"""No reader waits for a pipe, follows a link to a device, or believes a footer without end."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jepa_lab import diagnose
from jepa_lab.callbacks.checkpoints import read_checkpoint
from jepa_lab.files.arrays import npz_headers, read_npy, read_npz
from jepa_lab.files.arrow import arrow_names, read_arrow
from jepa_lab.files.columns import column_names, read_columns
from jepa_lab.files.hdf5 import hdf5_headers
from jepa_lab.files.images import open_image
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.records import event_records, wandb_records
from jepa_lab.files.safe_tensors import safetensors_headers
from jepa_lab.files.tables import open_table
from jepa_lab.files.tensors import is_torch_file, read_tensors
from jepa_lab.files.text import read_bytes
from jepa_lab.studies.arc.data.cache import _check

READERS = [
    arrow_names,
    hdf5_headers,
    npz_headers,
    open_table,
    read_arrow,
    safetensors_headers,
    read_bytes,
    read_checkpoint,
    read_columns,
    read_npy,
    read_npz,
    read_tensors,
    open_image,
    lambda path: _check(path, {}),
    lambda path: list(event_records(path, zlib.crc32)),
    lambda path: list(wandb_records(path)),
    lambda path: column_names(path.rename(path.with_suffix(".csv"))),
    lambda path: read_columns(path.rename(path.with_suffix(".csv"))),
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_is_refused_at_once(
    reader: Callable[[Path], Any], kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "metrics.parquet"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="a pipe or a device"):
        reader(path)


def test_a_pipe_is_no_archive_of_torch(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.pt")
    assert not is_torch_file(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_diagnose_names_the_pipe_and_not_its_folder(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "features.npz"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(SystemExit) as end:
        diagnose.main([str(path)])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"jepa_lab: {path}: a pipe or a device")


def test_a_footer_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    with open(path, "wb") as file:
        file.truncate(6_000_000_000)
        file.seek(-8, os.SEEK_END)
        file.write(b"\xff\xff\xff\xffPAR1")
    with pytest.raises(OverLimit, match="a footer of 4,096 MB; at most 64 MB are read"):
        open_table(path)
