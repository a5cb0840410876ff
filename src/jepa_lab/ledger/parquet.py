"""The metrics of a run as one long Parquet table (step, epoch, key, value, time) that is readable
at any time."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jepa_lab.errors import UserError
from jepa_lab.ledger.segments import SCHEMA, clear_segments, read_stored, write_segment, write_whole

History = dict[str, list[tuple[int, float]]]

# a smaller table is always written whole: it takes some 20 ms, and the file alone is complete
SMALL_ROWS = 100_000
# segments are folded into the file once their rows exceed this share of the rows in the file
FOLD_SHARE = 1 / 4
# a shorter segment is rewritten with the next rows, so that a week of small writes does not leave
# 20,000 files
SEGMENT_ROWS = 5_000


class ParquetLedger:
    """Collects metrics and writes them `flush_s` seconds after the last write. The total time is
    linear in the number of rows.

    A table below SMALL_ROWS is rewritten whole, atomically. Of a larger one only the new rows are
    written, as segments beside `path` (see `segments`). Segments are folded into the file at sizes
    that grow geometrically, and by `fold` at the end of the run. `read_metrics` reads both.

    A kill loses the rows since the last write. A checkpoint calls `state_dict`, which writes. Rows
    whose write failed stay in memory for the next write.

    A new ledger is empty, and its first write replaces everything that an earlier run left at
    `path`, segments included. `load` continues an existing file.
    """

    def __init__(
        self, path: Path, flush_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = Path(path)
        self.flush_s = flush_s
        self._clock = clock
        self._tables: list[pa.Table] = []
        self._clear_buffer()
        self._unwritten = False
        self._next_write = clock() + flush_s
        self._folded = 0
        # rows of the file and of each segment; None: the next write is whole
        self._parts: list[int] | None = None

    @classmethod
    def load(cls, path: Path, flush_s: float = 5.0) -> "ParquetLedger":
        """Returns a ledger that continues the file at `path`, or an empty one if there is no file.
        Raises UserError if it is unreadable."""
        ledger = cls(path, flush_s)
        if ledger.path.exists():
            table, ledger._folded, ledger._parts = read_stored(ledger.path)
            ledger._tables = [table]
        return ledger

    @property
    def rows(self) -> int:
        """The number of rows appended so far, written or not."""
        return sum(table.num_rows for table in self._tables) + len(self._keys)

    def append(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Adds one row per metric, NaN and infinities included. Writes if a write is due, and
        raises OSError if that fails."""
        values = [float(value) for value in metrics.values()]
        self._steps += [int(step)] * len(values)
        self._epochs += [int(epoch)] * len(values)
        self._keys += metrics.keys()
        self._values += values
        self._times += [time.time()] * len(values)
        self._unwritten = self._unwritten or bool(values)
        self.flush()

    def extend(self, rows: pa.Table) -> None:
        """Adds the rows of another ledger with their times."""
        self._tables.append(rows.combine_chunks())
        self._unwritten = self._unwritten or rows.num_rows > 0

    def flush(self, force: bool = False) -> bool:
        """Writes the new rows if a write is due, or at once with `force`. Returns whether rows were
        written."""
        if not self._unwritten or (self._clock() < self._next_write and not force):
            return False
        table, parts = self.table(), self._parts
        if (
            parts is None
            or table.num_rows < SMALL_ROWS
            or table.num_rows > (1 + FOLD_SHARE) * parts[0]
        ):
            self._write_whole(table)
        else:
            self._write_segment(table, parts)
        return True

    def fold(self) -> bool:
        """Writes all rows into the file itself and removes the segments. Returns whether the file
        was written."""
        if not self._unwritten and (self._parts is None or len(self._parts) == 1):
            if self._parts is not None:
                clear_segments(self.path, self._folded)
            return False
        self._write_whole(self.table())
        return True

    def truncate(self, step: int | None = None, *, rows: int | None = None) -> int:
        """Drops the rows logged after a checkpoint: rows with a step above `step`, or all but the
        first `rows`.

        `rows` is exact. `step` is not, since validation after a checkpoint logs under the same
        step. Folds the remaining rows into the file and returns the number of dropped rows.
        """
        before, table = self.rows, self.table()
        if step is not None:
            table = table.filter(pa.array(table["step"].to_numpy() <= step))
        if rows is not None:
            table = table.slice(0, rows)
        dropped = before - table.num_rows
        if dropped:
            self._tables, self._parts, self._unwritten = [table], None, True
        self.fold()
        return dropped

    def state_dict(self) -> dict[str, Any]:
        """Returns the number of rows and the time of the last one, for a checkpoint. Writes first,
        so that these rows are on disk."""
        self.flush(force=True)
        return {"rows": self.rows, "time": self._at("time", self.rows)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cuts the ledger to the rows it had when `state` was taken. Raises UserError as `require`
        does, without a cut."""
        self.require(state)
        self.truncate(rows=state["rows"])

    def require(self, state: Mapping[str, Any], step: int | None = None) -> None:
        """Raises UserError unless the ledger has the rows it had when `state` was taken, at `step`.
        Of the time, which an earlier version did not keep, no two runs have the same."""
        rows, restart = state["rows"], "on_existing=restart begins anew"
        if self.rows < rows:
            raise UserError(
                f"{self.path}: {self.rows} rows found, {rows} expected by the checkpoint; {restart}"
            )
        last_step = self._at("step", rows)
        another = state.get("time") is not None and state["time"] != self._at("time", rows)
        if another or (step is not None and last_step is not None and last_step > step):
            raise UserError(f"{self.path}: not the metrics of the checkpoint; {restart}")

    def _at(self, column: str, rows: int) -> Any:
        """Returns the value of a column in the last of the first `rows` rows, None without any."""
        return self.table()[column][rows - 1].as_py() if rows else None

    def table(self) -> pa.Table:
        """Returns all rows in the order of logging, written or not."""
        if self._keys:
            columns = (self._steps, self._epochs, self._keys, self._values, self._times)
            arrays = [
                pa.array(column, type=field.type)
                for column, field in zip(columns, SCHEMA, strict=True)
            ]
            self._tables.append(pa.Table.from_arrays(arrays, schema=SCHEMA))
            self._clear_buffer()
        # Each table stays at least twice as long as the next. So there are few tables, and a row is
        # copied a logarithmic number of times.
        while len(self._tables) > 1 and self._tables[-2].num_rows < 2 * self._tables[-1].num_rows:
            self._tables[-2:] = [pa.concat_tables(self._tables[-2:]).combine_chunks()]
        return pa.concat_tables(self._tables) if self._tables else SCHEMA.empty_table()

    def history(self) -> History:
        """Returns the (step, value) pairs of every key, in the order of logging."""
        return history_of(self.table())

    def _clear_buffer(self) -> None:
        self._steps: list[int] = []
        self._epochs: list[int] = []
        self._keys: list[str] = []
        self._values: list[float] = []
        self._times: list[float] = []

    def _write_whole(self, table: pa.Table) -> None:
        # unknown until the write succeeds: after an error the file may hold the old or the new rows
        self._parts = None
        self._folded = write_whole(self.path, table, self._folded)
        self._wrote([table.num_rows])
        clear_segments(self.path, self._folded)

    def _write_segment(self, table: pa.Table, parts: list[int]) -> None:
        kept = parts[:-1] if len(parts) > 1 and parts[-1] < SEGMENT_ROWS else parts
        new = table.slice(sum(kept))
        write_segment(self.path, self._folded + len(kept), new)
        self._wrote([*kept, new.num_rows])

    def _wrote(self, parts: list[int]) -> None:
        self._parts, self._unwritten = parts, False
        self._next_write = self._clock() + self.flush_s


def read_metrics(path: Path) -> pa.Table:
    """Returns the whole table of a `metrics.parquet` and its segments. `path` is the file or the
    run's folder.

    Safe while a run writes to it. Raises UserError if it is missing or broken.
    """
    path = Path(path)
    return read_stored(path / "metrics.parquet" if path.is_dir() else path).table


def last_values(history: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, float]:
    """Returns {key: its last value as logged} of a history, NaN included."""
    return {key: points[-1][1] for key, points in history.items() if points}


def history_of(source: Path | pa.Table) -> History:
    """Returns the (step, value) pairs of every key, in the order of logging, from a file, a run's
    folder or a table. A row of other code without a step, a key or a value is left out."""
    table = source if isinstance(source, pa.Table) else read_metrics(source)
    table = table.select(["step", "key", "value"])
    if any(column.null_count for column in table.columns):
        table = table.drop_null()
    if table.num_rows == 0:
        return {}
    keys = table["key"].combine_chunks().dictionary_encode()
    names, codes = keys.dictionary.to_pylist(), keys.indices.to_numpy()
    steps, values = table["step"].to_numpy(), table["value"].to_numpy()
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    return {
        name: list(zip(steps[rows].tolist(), values[rows].tolist(), strict=True))
        for name, rows in zip(names, groups, strict=True)
    }
