"""A disk without room ends a run or a sweep with one line, and what is written stays usable."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jepa_lab.__main__ import main
from jepa_lab.errors import UserError
from jepa_lab.ledger.log_file import LogFile
from jepa_lab.process.command import run_command
from jepa_lab.process.disk import full_disk
from jepa_lab.studies.linear_byol.table import NAME, read_rows
from jepa_lab.studies.run import train
from toy_configs import configure

Command = Callable[..., tuple[int, str, str]]
TOY = ("epochs=6", "log_every=2", "save_every_s=0", "figures=false", "eval_size=50")


def full_from(patch: pytest.MonkeyPatch, nth: int) -> list[str]:
    """Makes the nth write of a file and all later ones fail, each after half of the content.
    Returns the list of writes."""
    writes: list[str] = []
    write_bytes, write_table = Path.write_bytes, pq.write_table

    def write(path: Path, content: Any) -> int:
        writes.append(path.name)
        if len(writes) >= nth:
            write_bytes(path, bytes(content)[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    def table(rows: Any, path: Path, **options: Any) -> None:
        writes.append(path.name)
        write_table(rows, path, **options)
        if len(writes) >= nth:
            write_bytes(path, path.read_bytes()[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(Path, "write_bytes", write)
    patch.setattr(pq, "write_table", table)
    return writes


def numbers(folder: Path) -> dict[str, list[Any]]:
    """Returns the table of the only run, without its times."""
    (path,) = folder.rglob(NAME)
    return read_rows(path).drop_columns(["wall_s"]).to_pydict()


def test_a_toy_run_survives_a_disk_that_is_full_at_any_of_its_writes(tmp_path: Path) -> None:
    train(configure(*TOY, f"runs_dir={tmp_path / 'whole'}"))
    expected, nth = numbers(tmp_path / "whole"), 0
    while True:
        nth += 1
        config = configure(*TOY, f"runs_dir={tmp_path / str(nth)}")
        with pytest.MonkeyPatch.context() as patch:
            writes = full_from(patch, nth)
            try:
                train(config)
                break
            except UserError as error:
                line = str(error)
        assert "No space left on device" in line
        assert "\n" not in line
        # the status is tried once more to note the failure
        name = writes[nth - 1].split(".tmp")[0].strip(".").rsplit(".", 1)[0]
        assert f"{name} (" in line, line
        assert not list(tmp_path.rglob(".*.tmp")), writes
        train(config)
        assert repr(numbers(tmp_path / str(nth))) == repr(expected), f"write {nth} of {writes}"
    assert nth > 10


@pytest.mark.parametrize("nth", [1, 4, 12])
def test_a_sweep_on_a_full_disk_ends_with_one_line_and_exit_code_2(
    nth: int, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = ["-m", "+experiment=linear_byol", *TOY, "seed=0,1"]
    with monkeypatch.context() as patch:
        writes = full_from(patch, nth)
        code, _, err = command(*line, main=main)
    assert len(writes) >= nth
    assert code == 2
    assert "Traceback" not in err
    assert "No space left on device" in err.splitlines()[-1]
    assert not list(tmp_path.rglob(".*.tmp"))
    assert command(*line, main=main)[0] == 0


def test_an_error_that_a_library_raises_for_a_full_disk_is_recognised() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "x.ckpt")
    assert full_disk(full) is full
    of_torch = RuntimeError("unexpected pos 704 vs 598")
    of_torch.__context__ = full
    assert full_disk(of_torch) is full
    of_stream = full_disk(RuntimeError("basic_ios::clear: iostream error\nat 0x1"))
    assert of_stream is not None
    assert of_stream.strerror == "basic_ios::clear: iostream error; is the disk full?"
    for other in (RuntimeError("shapes differ"), FileNotFoundError(errno.ENOENT, "x"), KeyError()):
        assert full_disk(other) is None


def test_every_command_reports_a_full_disk_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "out/report.html")

    with pytest.raises(SystemExit) as end:
        run_command(work)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("jepa_lab: cannot write out/report.html (No space left on device)")
    assert len(err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_log_that_cannot_be_written_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for place in ("/dev/full", "/nowhere/run.log"):
        log = LogFile(place, delay=True)
        log.emit(logging.makeLogRecord({"msg": "x" * 100_000}))
        log.close()
    assert capfd.readouterr() == ("", "")
