import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jepa_lab.errors import UserError
from jepa_lab.ledger import parquet, segments, tables
from jepa_lab.ledger.parquet import ParquetLedger, read_metrics

OPERATIONS = (
    (pq, "write_table"),
    *((os, name) for name in ("mkdir", "fsync", "replace", "unlink", "rmdir")),
)
ACTIONS: dict[str, Callable[[ParquetLedger], object]] = {
    "segment": lambda ledger: add(ledger, 2),
    "longer_segment": lambda ledger: (add(ledger, 1), add(ledger, 1)),
    "fold_when_due": lambda ledger: add(ledger, 20),
    "fold": lambda ledger: ledger.fold(),
    "truncate": lambda ledger: ledger.truncate(rows=43),
    "fresh": lambda ledger: add(ParquetLedger(ledger.path, flush_s=1e9), 3),
    "fold_and_go_on": lambda ledger: (
        ledger.fold(),
        add(ledger, 2),
        add(ledger, 3),
        ledger.fold(),
        add(ledger, 1),
    ),
}


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "SMALL_ROWS", 20)
    monkeypatch.setattr(parquet, "SEGMENT_ROWS", 2)


def add(ledger: ParquetLedger, rows: int) -> None:
    for step in range(ledger.rows, ledger.rows + rows):
        ledger.append(step, 0, {"a": float(step)})
    ledger.flush(force=True)


def with_segments(folder: Path) -> ParquetLedger:
    """Makes a ledger with 40 rows in the file and 3, 2 and 1 rows in segments."""
    folder.mkdir(exist_ok=True)
    ledger = ParquetLedger(folder / "metrics.parquet", flush_s=1e9)
    for rows in (40, 3, 2, 1):
        add(ledger, rows)
    assert names(folder) == ["000001.parquet", "000002.parquet", "000003.parquet"]
    return ledger


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".metrics/*"))


def steps(folder: Path) -> list[int]:
    return read_metrics(folder)["step"].to_pylist()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def at_operation(patch: pytest.MonkeyPatch, nth: int, error: BaseException) -> list[str]:
    """Raises `error` in place of the nth file operation, and Killed also in place of all later
    ones. Returns the list of operations."""
    done: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            done.append(name)
            if len(done) == nth and name == "write_table":
                args[1].write_bytes(b"PAR1 and then it was over")
            if len(done) == nth or (len(done) > nth and isinstance(error, Killed)):
                raise error
            return real(*args, **kwargs)

        return operation

    for module, name in OPERATIONS:
        patch.setattr(module, name, wrap(name, getattr(module, name)))
    return done


def test_a_small_table_is_one_file_and_a_large_one_grows_by_segments(tmp_path: Path) -> None:
    ledger = ParquetLedger(tmp_path / "metrics.parquet", flush_s=1e9)
    for _ in range(19):
        add(ledger, 1)
        assert pq.read_table(ledger.path).num_rows == ledger.rows
    assert names(tmp_path) == []
    add(ledger, 2)
    add(ledger, 2)
    assert pq.read_table(ledger.path).num_rows == 19
    assert [pq.read_table(tmp_path / ".metrics" / name).num_rows for name in names(tmp_path)] == [
        2,
        2,
    ]
    assert steps(tmp_path) == list(range(23))
    add(ledger, 1)
    assert pq.read_table(ledger.path).num_rows == 24, "5 rows are more than a quarter of 19"
    assert not (tmp_path / ".metrics").exists()


def test_a_segment_grows_until_it_is_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SEGMENT_ROWS", 4)
    ledger = ParquetLedger(tmp_path / "metrics.parquet", flush_s=1e9)
    add(ledger, 100)
    for _ in range(9):
        add(ledger, 1)
    assert [pq.read_table(tmp_path / ".metrics" / name).num_rows for name in names(tmp_path)] == [
        4,
        4,
        1,
    ]
    assert steps(tmp_path) == list(range(109))


def test_the_total_of_written_rows_is_linear_in_the_logged_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SEGMENT_ROWS", 20)
    ledger = ParquetLedger(tmp_path / "metrics.parquet", flush_s=1e9)
    written: list[int] = []

    def count(table: pa.Table, path: Path, **_: object) -> None:
        written.append(table.num_rows)
        path.write_bytes(b"PAR1" + bytes(4) + b"PAR1")

    monkeypatch.setattr(pq, "write_table", count)
    # without fsync, since 4,000 of them take half a minute
    monkeypatch.setattr(tables, "replace_file", os.replace)
    totals = {}
    for flush in range(1, 4001):
        ledger.append(flush, 0, dict.fromkeys("abcdefghij", 0.0))
        ledger.flush(force=True)
        totals[ledger.rows] = sum(written)
    assert len(written) == 4000
    # bound per row: 1 + 1.5 writes in segments at this SEGMENT_ROWS, 1 / (1 - 1 / 1.25) in folds
    for rows in (5_000, 10_000, 20_000, 40_000):
        assert rows < totals[rows] <= 7 * rows


def test_truncation_reaches_across_segments_and_leaves_one_file(tmp_path: Path) -> None:
    for rows in (45, 44, 43, 41, 40, 7, 0):
        folder = tmp_path / str(rows)
        ledger = with_segments(folder)
        assert ledger.truncate(rows - 1) == 46 - rows
        assert pq.read_table(ledger.path)["step"].to_pylist() == steps(folder) == list(range(rows))
        assert not (folder / ".metrics").exists()
        add(ledger, 3)
        assert steps(folder) == list(range(rows + 3))


def test_a_checkpoint_writes_a_segment_and_a_resume_folds(tmp_path: Path) -> None:
    ledger = with_segments(tmp_path)
    main = ledger.path.read_bytes()
    ledger.append(46, 0, {"a": 46.0})
    state = ledger.state_dict()
    assert state["rows"] == 47
    assert ledger.path.read_bytes() == main
    add(ledger, 3)
    resumed = ParquetLedger.load(ledger.path)
    assert resumed.rows == 50
    resumed.load_state_dict(state)
    assert steps(tmp_path) == list(range(47))
    assert not (tmp_path / ".metrics").exists()


def test_a_loaded_ledger_continues_the_segments_on_disk(tmp_path: Path) -> None:
    with_segments(tmp_path)
    resumed = ParquetLedger.load(tmp_path / "metrics.parquet", flush_s=1e9)
    main = resumed.path.read_bytes()
    for rows in range(47, 51):
        add(resumed, 1)
        assert steps(tmp_path) == list(range(rows))
    assert resumed.path.read_bytes() == main


def test_fold_leaves_one_file_that_holds_all_rows(tmp_path: Path) -> None:
    ledger = with_segments(tmp_path)
    ledger.append(46, 0, {"a": 46.0})
    assert ledger.fold()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.parquet"]
    assert pq.read_table(ledger.path)["step"].to_pylist() == list(range(47))
    assert not ledger.fold()


def test_no_segment_number_is_used_twice(tmp_path: Path) -> None:
    ledger = with_segments(tmp_path)
    ledger.fold()
    ledger.truncate(rows=45)
    add(ledger, 1)
    assert names(tmp_path) == ["000004.parquet"]
    assert steps(tmp_path) == list(range(46))


def test_fold_of_an_empty_ledger_touches_nothing(tmp_path: Path) -> None:
    with_segments(tmp_path)
    before = contents(tmp_path)
    assert not ParquetLedger(tmp_path / "metrics.parquet").fold()
    assert contents(tmp_path) == before


def test_the_first_write_of_a_fresh_ledger_removes_the_segments_of_an_earlier_run(
    tmp_path: Path,
) -> None:
    for rows in (1, 30):
        with_segments(tmp_path)
        fresh = ParquetLedger(tmp_path / "metrics.parquet", flush_s=1e9)
        assert steps(tmp_path) == list(range(46))
        add(fresh, rows)
        assert steps(tmp_path) == list(range(rows))
        assert not (tmp_path / ".metrics").exists()
        add(fresh, 20)
        add(fresh, 1)
        assert steps(tmp_path) == list(range(rows + 21))
        shutil.rmtree(tmp_path / ".metrics", ignore_errors=True)
        fresh.path.unlink()


@pytest.mark.parametrize("action", ACTIONS)
def test_a_kill_at_any_file_operation_leaves_every_row_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    model = with_segments(tmp_path / "model")
    found = [steps(tmp_path / "model")]
    for nth in range(1, 100):
        folder = tmp_path / str(nth)
        ledger = with_segments(folder)
        with monkeypatch.context() as patch:
            at_operation(patch, nth, Killed())
            try:
                ACTIONS[action](ledger)
                break
            except Killed:
                pass
        found.append(steps(folder))
        assert found[-1] == list(range(len(found[-1])))
        assert pq.read_table(ledger.path).num_rows <= len(found[-1])
        resumed = ParquetLedger.load(ledger.path, flush_s=1e9)
        add(resumed, 1)
        resumed.fold()
        assert (
            pq.read_table(ledger.path)["step"].to_pylist()
            == steps(folder)
            == list(range(len(found[-1]) + 1))
        )
        assert not (folder / ".metrics").exists()
    ACTIONS[action](model)
    lengths = [len(table) for table in found]
    end = len(steps(tmp_path / "model"))
    assert len(found) > 4
    assert lengths == sorted(lengths, reverse=end < lengths[0]), "what was written stays written"
    if action not in ("longer_segment", "fold_and_go_on"):
        assert set(lengths) == {46, end}, "all rows of a write or none"


@pytest.mark.parametrize("action", ACTIONS)
def test_an_error_at_any_file_operation_neither_loses_nor_repeats_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    raised = 0
    for nth in range(1, 100):
        ledger = with_segments(tmp_path / str(nth))
        if action == "fresh":
            ledger = ParquetLedger(ledger.path, flush_s=1e9)
        with monkeypatch.context() as patch:
            done = at_operation(patch, nth, OSError(errno.ENOSPC, "No space left on device"))
            try:
                (ACTIONS["segment"] if action == "fresh" else ACTIONS[action])(ledger)
            except OSError:
                raised += 1
                assert "write_table" in done or "mkdir" in done
        if len(done) < nth:
            break
        assert list(ledger.path.parent.rglob(".*.tmp")) == []
        found = steps(ledger.path.parent)
        assert found == list(range(len(found)))
        ledger.flush(force=True)
        add(ledger, 1)
        assert steps(ledger.path.parent) == list(range(ledger.rows))
        ledger.fold()
        assert pq.read_table(ledger.path)["step"].to_pylist() == list(range(ledger.rows))
    assert raised >= 3


@pytest.mark.parametrize("rows", [2, 20])
@pytest.mark.parametrize("place", ["write_table", "fsync", "replace"])
def test_a_full_disk_leaves_all_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, place: str
) -> None:
    ledger = with_segments(tmp_path)
    before = contents(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq if place == "write_table" else os, place, full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                add(ledger, rows)
            assert contents(tmp_path) == before
    assert ledger.flush(force=True)
    assert steps(tmp_path) == list(range(ledger.rows)) == list(range(46 + 2 * rows))


@pytest.mark.parametrize(
    "action", [action for action in ACTIONS if action not in ("truncate", "fresh")]
)
def test_a_reader_overtaken_by_a_writer_gets_all_earlier_rows_without_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    for nth in range(1, 6):  # a read is one listing and 4 files
        ledger = with_segments(tmp_path / str(nth))
        calls: list[str] = []

        def overtaken(
            real: Callable[..., Any], ledger: ParquetLedger, calls: list[str], nth: int
        ) -> Callable[..., Any]:
            def call(path: Path) -> Any:
                result = real(path)
                calls.append(path.name)
                if len(calls) == nth:
                    ACTIONS[action](ledger)
                return result

            return call

        with monkeypatch.context() as patch:
            for name in ("_numbers", "_read"):
                patch.setattr(
                    segments, name, overtaken(getattr(segments, name), ledger, calls, nth)
                )
            found = steps(ledger.path.parent)
        assert len(calls) >= nth
        assert found == list(range(len(found)))
        assert 46 <= len(found) <= ledger.rows


def test_readers_get_a_growing_table_without_gaps_while_a_writer_folds(tmp_path: Path) -> None:
    ledger = with_segments(tmp_path)
    done = threading.Event()
    lengths: list[int] = []
    problems: list[BaseException] = []

    def read() -> None:
        while not done.is_set():
            try:
                found = steps(tmp_path)
                assert found == list(range(len(found)))
                lengths.append(len(found))
            except BaseException as problem:
                problems.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(200):
            add(ledger, 2)
    finally:
        done.set()
        reader.join()
    assert not problems
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3, "the reader must read the table while it grows"


def test_a_missing_segment_is_a_user_error_that_names_it(tmp_path: Path) -> None:
    with_segments(tmp_path)
    (tmp_path / ".metrics" / "000002.parquet").unlink()
    with pytest.raises(UserError, match=r"000002\.parquet: missing") as caught:
        read_metrics(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_broken_segment_is_a_user_error_that_names_it(tmp_path: Path) -> None:
    with_segments(tmp_path)
    (tmp_path / ".metrics" / "000003.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"000003\.parquet: not a readable"):
        read_metrics(tmp_path)


def test_other_files_in_the_folder_of_segments_are_neither_read_nor_removed(tmp_path: Path) -> None:
    ledger = with_segments(tmp_path)
    for name in ("1.parquet", "notes.txt", ".000004.parquet.1-abc.tmp"):
        (tmp_path / ".metrics" / name).write_text("half")
    assert steps(tmp_path) == list(range(46))
    ledger.fold()
    assert names(tmp_path) == ["1.parquet", "notes.txt"]


WRITER = """
import os, sys
from pathlib import Path
from jepa_lab.ledger import parquet
parquet.SMALL_ROWS, parquet.SEGMENT_ROWS = 50, 8
path = Path(sys.argv[1]) / "metrics.parquet"
ledger = parquet.ParquetLedger.load(path, flush_s=1e-6)
while True:
    ledger.append(ledger.rows // 2, 0, {"a": 0.0, "b": 0.0})
    if not ledger._unwritten:
        os.write(1, b"%d\\n" % ledger.rows)
"""


def test_kill_9_at_random_moments_leaves_every_flushed_row_and_no_gap(tmp_path: Path) -> None:
    chance = random.Random(0)
    run = tmp_path / "run"
    run.mkdir()
    n = 0
    for kill in range(5):  # each writer continues the files of the killed one
        output = tmp_path / f"{kill}.txt"
        with open(output, "wb") as out:
            writer = subprocess.Popen([sys.executable, "-c", WRITER, str(run)], stdout=out)
        try:
            until = time.monotonic() + 60
            while (
                output.stat().st_size < 1000 and time.monotonic() < until and writer.poll() is None
            ):
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.3))
        finally:
            writer.kill()
        assert writer.wait() == -signal.SIGKILL
        flushed = int(output.read_text().splitlines()[-1])
        table = read_metrics(run)
        assert table["step"].to_pylist() == [row // 2 for row in range(table.num_rows)]
        assert table["key"].to_pylist() == ["ab"[row % 2] for row in range(table.num_rows)]
        assert n < flushed <= table.num_rows <= flushed + 2
        n = table.num_rows
