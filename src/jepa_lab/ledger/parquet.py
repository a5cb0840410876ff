"""The metrics of a run as one long Parquet table (step, epoch, key, value, time) that is readable at any moment."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import replace_file, temporary_beside

History = dict[str, list[tuple[int, float]]]

SCHEMA = pa.schema(
    [("step", pa.int64()), ("epoch", pa.int64()), ("key", pa.string()), ("value", pa.float64()), ("time", pa.float64())]
)
WRITE_SHARE = 1 / 20  # of wall-clock, at most: the pause after a write is 20 times as long as the write was


class ParquetLedger:
    """Collects metrics and rewrites `path` whole, atomically, at intervals that grow with the time a write takes.

    `flush_s` is the shortest pause between writes in seconds. A kill loses the rows since the last write; a checkpoint
    calls `state_dict`, which writes, so the file is never behind it. Starts empty: `load` continues a file.
    """

    def __init__(self, path: Path, flush_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = Path(path)
        self.flush_s = flush_s
        self._clock = clock
        self._tables: list[pa.Table] = []
        self._clear_buffer()
        self._unwritten = False
        self._next_write = clock() + flush_s

    @classmethod
    def load(cls, path: Path, flush_s: float = 5.0) -> "ParquetLedger":
        """A ledger that continues the file at `path`; an empty one where there is none yet. UserError if unreadable."""
        ledger = cls(path, flush_s)
        if ledger.path.exists():
            ledger._tables = [read_metrics(ledger.path)]
        return ledger

    @property
    def rows(self) -> int:
        """Rows appended so far, written or not."""
        return sum(table.num_rows for table in self._tables) + len(self._keys)

    def append(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add one row per metric; NaN and infinities are kept. Writes the file when a write is due."""
        values = [float(value) for value in metrics.values()]
        self._steps += [int(step)] * len(values)
        self._epochs += [int(epoch)] * len(values)
        self._keys += metrics.keys()
        self._values += values
        self._times += [time.time()] * len(values)
        self._unwritten = True
        self.flush()

    def flush(self, force: bool = False) -> bool:
        """Write the file if a write is due, or at once with `force`; True if it was written."""
        start = self._clock()
        if not self._unwritten or (start < self._next_write and not force):
            return False
        self._write()
        end = self._clock()
        self._next_write = end + max(self.flush_s, (end - start) / WRITE_SHARE)
        return True

    def truncate(self, step: int | None = None, *, rows: int | None = None) -> int:
        """Drop what was logged after a checkpoint: rows with a step above `step`, or all but the first `rows`.

        `rows` is the exact one: validation after a checkpoint logs under the same step. Writes the file and returns
        how many rows went.
        """
        before, table = self.rows, self.table()
        if step is not None:
            table = table.filter(pa.array(table["step"].to_numpy() <= step))
        if rows is not None:
            table = table.slice(0, rows)
        self._tables = [table]
        dropped = before - self.rows
        self._unwritten = self._unwritten or dropped > 0
        self.flush(force=True)
        return dropped

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint has to remember: the number of rows. Writes the file first, so that it holds them."""
        self.flush(force=True)
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Cut the ledger to the rows it had when `state` was taken."""
        self.truncate(rows=state["rows"])

    def table(self) -> pa.Table:
        """All rows in the order of logging, as in the file."""
        if self._keys:
            columns = (self._steps, self._epochs, self._keys, self._values, self._times)
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._tables.append(pa.Table.from_arrays(arrays, schema=SCHEMA))
            self._clear_buffer()
        if len(self._tables) > 64:
            self._tables = [pa.concat_tables(self._tables).combine_chunks()]
        return pa.concat_tables(self._tables) if self._tables else SCHEMA.empty_table()

    def history(self) -> History:
        """(step, value) pairs of every key, in the order of logging."""
        return history_of(self.table())

    def _clear_buffer(self) -> None:
        self._steps: list[int] = []
        self._epochs: list[int] = []
        self._keys: list[str] = []
        self._values: list[float] = []
        self._times: list[float] = []

    def _write(self) -> None:
        table = self.table()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tmp = temporary_beside(self.path)
        try:
            pq.write_table(table, tmp, compression="zstd")
        except BaseException:
            tmp.unlink(missing_ok=True)
            raise
        replace_file(tmp, self.path)
        self._unwritten = False


def read_metrics(path: Path) -> pa.Table:
    """The whole table of a `metrics.parquet`, or of the run's folder that holds it. UserError if missing or broken."""
    path = Path(path)
    path = path / "metrics.parquet" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path}: no such metrics file; give a run's folder or its metrics.parquet")
    try:
        return pq.ParquetFile(path).read().select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a readable metrics file ({reason}); delete it or restart the run") from error


def history_of(source: Path | pa.Table) -> History:
    """(step, value) pairs of every key, in the order of logging, from a file, a run's folder or a table."""
    table = source if isinstance(source, pa.Table) else read_metrics(source)
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
