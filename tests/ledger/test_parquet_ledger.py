import math
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jepa_lab.errors import UserError
from jepa_lab.ledger import tables
from jepa_lab.ledger.parquet import ParquetLedger, history_of, read_metrics


class Clock:
    """A clock that moves only if a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def filled(path: Path, steps: int = 10) -> ParquetLedger:
    ledger = ParquetLedger(path, flush_s=1e9)
    for step in range(steps):
        ledger.append(step, step // 4, {"a": float(step), "b": -float(step)})
    return ledger


def test_the_file_has_the_published_columns_and_types(tmp_path: Path) -> None:
    before = time.time()
    ledger = filled(tmp_path / "m.parquet")
    assert ledger.flush(force=True)
    table = pq.read_table(tmp_path / "m.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "step": "int64",
        "epoch": "int64",
        "key": "string",
        "value": "double",
        "time": "double",
    }
    assert list(types) == ["step", "epoch", "key", "value", "time"]
    assert table.num_rows == ledger.rows == 20
    assert table.slice(10, 1).select(["step", "epoch", "key", "value"]).to_pylist() == [
        {"step": 5, "epoch": 1, "key": "a", "value": 5.0}
    ]
    assert before <= table["time"][0].as_py() <= time.time()
    assert (
        pq.ParquetFile(tmp_path / "m.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    )


def test_history_is_the_same_from_memory_file_and_folder(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "metrics.parquet")
    expected = {"a": [(s, float(s)) for s in range(10)], "b": [(s, -float(s)) for s in range(10)]}
    assert ledger.history() == expected
    ledger.flush(force=True)
    assert history_of(tmp_path / "metrics.parquet") == history_of(tmp_path) == expected


def test_an_empty_ledger_has_no_history_and_writes_no_file(tmp_path: Path) -> None:
    ledger = ParquetLedger(tmp_path / "m.parquet")
    assert ledger.history() == {}
    assert ledger.rows == 0
    assert not ledger.flush(force=True)
    assert list(tmp_path.iterdir()) == []


def test_nan_and_infinities_are_kept(tmp_path: Path) -> None:
    ledger = ParquetLedger(tmp_path / "m.parquet")
    ledger.append(0, 0, {"x": math.nan, "y": math.inf, "z": -math.inf})
    ledger.flush(force=True)
    table = read_metrics(tmp_path / "m.parquet")
    assert table["value"].null_count == 0
    values = table["value"].to_pylist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_the_file_is_complete_at_every_moment_of_a_rewrite(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    ledger = ParquetLedger(path, flush_s=0.0)
    ledger.append(0, 0, {"a": 0.0})
    ledger.flush(force=True)
    lengths: list[int] = []
    problems: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                steps = read_metrics(path)["step"].to_pylist()
                assert steps == list(range(len(steps)))
                lengths.append(len(steps))
            except BaseException as problem:
                problems.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for step in range(1, 200):
            ledger.append(step, 0, {"a": float(step)})
            ledger.flush(force=True)
    finally:
        done.set()
        reader.join()
    assert not problems
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3, "the reader must read the file while it grows"


def test_a_killed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.parquet"
    ledger = filled(path)
    ledger.flush(force=True)

    class Killed(BaseException):
        pass

    def half(_: pa.Table, tmp: Path, **__: object) -> None:
        tmp.write_bytes(b"PAR1 and then the power went")
        # a killed process removes no temporary files
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
        raise Killed

    monkeypatch.setattr(pq, "write_table", half)
    ledger.append(10, 2, {"a": 10.0})
    with pytest.raises(Killed):
        ledger.flush(force=True)
    monkeypatch.undo()
    assert len(list(tmp_path.glob(".metrics.parquet.*.tmp"))) == 1
    again = ParquetLedger.load(path)
    assert again.rows == 20
    again.append(10, 2, {"a": 10.0})
    again.flush(force=True)
    assert read_metrics(path).num_rows == 21


def test_rows_of_a_failed_write_are_in_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = filled(tmp_path / "m.parquet")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(OSError, match="No space"):
            ledger.flush(force=True)
    assert list(tmp_path.iterdir()) == []
    assert ledger.flush(force=True)
    assert read_metrics(tmp_path / "m.parquet").num_rows == 20


def test_the_pause_between_writes_is_flush_s_for_slow_writes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    ledger = ParquetLedger(tmp_path / "m.parquet", flush_s=5.0, clock=clock)
    replace = tables.replace_file

    def slow(tmp: Path, path: Path) -> None:
        replace(tmp, path)
        clock.now += 2.0

    monkeypatch.setattr(tables, "replace_file", slow)
    written: list[float] = []
    for tick in range(100):
        clock.now = max(clock.now, float(tick))
        before = clock.now
        ledger.append(tick, 0, {"a": 1.0})
        if clock.now > before:
            written.append(before)
    assert written == [5.0 + 7.0 * n for n in range(len(written))]
    assert len(written) == 14


def test_a_flush_without_new_rows_writes_nothing(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "m.parquet")
    assert ledger.flush(force=True)
    assert not ledger.flush(force=True)


def test_truncate_by_step_keeps_that_step_and_rewrites_the_file(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "m.parquet")
    assert ledger.truncate(6) == 6
    assert ledger.rows == 14
    assert max(read_metrics(tmp_path / "m.parquet")["step"].to_pylist()) == 6
    ledger.append(7, 1, {"a": 70.0})
    assert ledger.history()["a"][-2:] == [(6, 6.0), (7, 70.0)]


def test_truncate_beyond_the_end_drops_nothing(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "m.parquet")
    assert ledger.truncate(1000) == 0
    assert ledger.truncate(rows=1000) == 0
    assert ledger.rows == 20


def test_truncate_before_the_start_empties_the_ledger_and_the_file(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "m.parquet")
    assert ledger.truncate(-1) == 20
    assert read_metrics(tmp_path / "m.parquet").num_rows == 0
    assert ledger.history() == {}


def test_a_resumed_ledger_has_the_same_rows_as_an_uninterrupted_one(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    ledger = filled(path, steps=5)
    state = ledger.state_dict()
    ledger.append(4, 1, {"val": 0.5})  # the same step as the checkpoint, but after it
    ledger.append(5, 1, {"a": 5.0, "b": -5.0})
    ledger.flush(force=True)

    resumed = ParquetLedger.load(path)
    resumed.load_state_dict(state)
    resumed.append(4, 1, {"val": 0.5})
    for step in range(5, 10):
        resumed.append(step, step // 4, {"a": float(step), "b": -float(step)})
    assert resumed.history() == {**filled(tmp_path / "x.parquet").history(), "val": [(4, 0.5)]}


def test_taking_the_state_writes_its_rows_to_disk(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "m.parquet")
    assert ledger.state_dict() == {"rows": 20, "time": ledger.table()["time"][-1].as_py()}
    assert read_metrics(tmp_path / "m.parquet").num_rows == 20


def test_a_ledger_shorter_than_its_checkpoint_is_an_error_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    filled(path).flush(force=True)
    before = path.read_bytes()
    with pytest.raises(
        UserError, match=r"metrics\.parquet: 20 rows found, 21 expected .* on_existing=restart"
    ) as caught:
        ParquetLedger.load(path).load_state_dict({"rows": 21})
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_loading_a_state_of_all_rows_rewrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    filled(path).flush(force=True)
    before = path.stat()
    ParquetLedger.load(path).load_state_dict({"rows": 20})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_load_without_a_file_starts_empty(tmp_path: Path) -> None:
    assert ParquetLedger.load(tmp_path / "m.parquet").rows == 0


def test_the_tables_in_memory_stay_few(tmp_path: Path) -> None:
    ledger = ParquetLedger(tmp_path / "m.parquet", flush_s=1e9)
    for step in range(1000):
        ledger.append(step, 0, {"a": 0.0})
        ledger.table()
    assert len(ledger._tables) <= 10


def test_many_small_writes_are_one_table(tmp_path: Path) -> None:
    ledger = ParquetLedger(tmp_path / "m.parquet", flush_s=1e9)
    for step in range(300):
        ledger.append(step, 0, {"a": float(step)})
        assert ledger.table().num_rows == step + 1
    assert ledger.history() == {"a": [(step, float(step)) for step in range(300)]}


@pytest.mark.parametrize("content", [b"", b"not parquet", b"PAR1xxxxPAR1"])
def test_a_broken_file_is_a_user_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.parquet"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.parquet") as caught:
        read_metrics(path)
    assert "\n" not in str(caught.value)


def test_another_parquet_file_is_a_user_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "m.parquet")
    with pytest.raises(UserError):
        read_metrics(tmp_path / "m.parquet")


def test_a_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such metrics file"):
        history_of(tmp_path)
