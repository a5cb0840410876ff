"""Files of tasks that unpack to far more than their size, or that exhaust the parser."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.studies.arc.data.reading.json_files import read_task_file

TASK = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]], "output": [[2]]}]}


def test_gzip_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tasks.json"
    path.write_bytes(gzip.compress(json.dumps(TASK).encode() + b" " * 10_000_000))
    assert path.stat().st_size < 20_000
    assert len(read_task_file(path).tasks) == 1
    monkeypatch.setattr(limits, "TASK_BYTES", limits.MB)
    with pytest.raises(UserError, match="unpacks to more than the 1 MB that are read; divide it"):
        read_task_file(path)


def test_a_file_of_more_bytes_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(TASK) + " " * 2 * limits.MB)
    monkeypatch.setattr(limits, "TASK_BYTES", limits.MB)
    with pytest.raises(UserError, match=rf"{path}: 2 MB; at most 1 MB are read; divide it"):
        read_task_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": ' + "[" * 100 + "]" * 100 + "}", "nested far too deep for a task"),
        ('{"train": ' + "9" * 5000 + "}", "4300 digits"),
        (
            json.dumps(TASK["train"][0]) + "\n" + "[" * 100 + "]" * 100,
            "nested far too deep for a record",
        ),
    ],
)
def test_json_that_exhausts_the_parser_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_task_file(path)
    assert "\n" not in str(error.value)
