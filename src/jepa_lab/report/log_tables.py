"""Logs that are tables: scalars over steps, with a column for each metric or a row for each
value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.types as types

from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import History, history_of

# columns that count the steps, the best first
STEPS = ("trainer/global_step", "global_step", "step", "_step", "iteration", "iter", "epoch")
CLOCKS = ("time", "_timestamp", "_runtime", "walltime", "wall_time", "relative time (process)")
LONG = pa.schema([("step", pa.int64()), ("key", pa.string()), ("value", pa.float64())])
SCALARS = (
    "acc accuracy entropy eval grad loss losses lr perplexity rank rankme std test train training"
    " val valid validation"
)
WORDS = frozenset(SCALARS.split())
MOST_STEPS = 2.0**53  # from which a floating-point number no longer counts one by one
EMPTY_SHARE = 0.2  # of the cells of a column, from which it is one of a log
# of W&B: name of the run - name of the metric
EXPORTED = re.compile(r"^(?P<run>.+?) - (?P<key>.+?)(?P<bound>__MIN|__MAX)?$")

Columns = dict[str, tuple[np.ndarray, np.ndarray]]  # name -> the rows with a value, the values


def is_log(table: pa.Table) -> bool:
    """Returns whether a table holds scalars over steps rather than features.

    It has a column of steps, and half of its other columns of numbers have a slash in their name,
    many empty cells, or a name that says a loss or the like.
    """
    if is_long(table):
        return True
    step = step_column(table.column_names)
    if step is None or any(types.is_nested(field.type) for field in table.schema):
        return False
    marked = [
        column.null_count > EMPTY_SHARE * table.num_rows
        or "/" in name
        or " - " in name
        or bool(words_of(name) & WORDS)
        for name, column in zip(table.column_names, table.columns, strict=True)
        if _is_number(column) and name.lower() not in (*STEPS, *CLOCKS)
    ]
    return bool(marked) and 2 * sum(marked) >= len(marked)


def is_long(table: pa.Table) -> bool:
    """Returns whether a table has a row for each value, as a ledger has."""
    return set(table.column_names) >= set(LONG.names)


def is_export(table: pa.Table) -> bool:
    """Returns whether a table is the export of a chart of W&B."""
    return any(EXPORTED.match(name) for name in table.column_names)


def history_of_table(table: pa.Table) -> History:
    """Returns the metrics in a table, in the order of their steps. An empty cell is a metric that
    was not logged.

    Raises UserError for an export of W&B with several runs, and pa.ArrowException for values of
    another kind.
    """
    if is_long(table):
        return in_order(history_of(table.select(LONG.names).cast(LONG)))
    columns: Columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if _is_number(column):
            values = column.cast(pa.float64()).combine_chunks()
            known = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
            columns[name] = (known, values.to_numpy(zero_copy_only=False)[known])
    return _over_steps(_of_one_run(columns), table.num_rows)


def history_of_rows(rows: Iterable[Mapping[str, float]]) -> History:
    """Returns the metrics of rows, each with the values that were logged together."""
    places: dict[str, list[int]] = {}
    values: dict[str, list[float]] = {}
    count = 0
    for row in rows:
        for name, value in row.items():
            places.setdefault(name, []).append(count)
            values.setdefault(name, []).append(value)
        count += 1
    return _over_steps({n: (np.array(at), np.array(values[n])) for n, at in places.items()}, count)


def step_column(names: Iterable[str]) -> str | None:
    """Returns the name of the column that counts the steps, or None."""
    by_name = {name.lower(): name for name in reversed(list(names))}
    return next((by_name[name] for name in STEPS if name in by_name), None)


def in_order(history: History) -> History:
    """Returns the metrics in the order of their steps, values of one step as they were logged."""
    return {key: sorted(points, key=lambda point: point[0]) for key, points in history.items()}


def words_of(name: str) -> set[str]:
    """Returns the words in a name, in small letters."""
    return set(re.findall("[a-z]+", name.lower()))


def _over_steps(columns: Columns, n_rows: int) -> History:
    """Returns the metrics over the column of steps. A row without a step has that of the row
    before."""
    name = step_column(columns)
    known, given = columns.get(name or "", (np.empty(0), np.empty(0)))
    if not len(known):
        return {}
    whole = np.nan_to_num(given, posinf=0, neginf=0)
    largest = float(np.abs(whole).max())
    if largest >= MOST_STEPS:
        raise UserError(f"{name} has a value of {largest:.3g}, which counts no steps")
    last = np.searchsorted(known, np.arange(n_rows), side="right") - 1
    steps = whole.astype(np.int64)[np.maximum(last, 0)]
    return in_order(
        {
            key: list(zip(steps[at].tolist(), values.tolist(), strict=True))
            for key, (at, values) in columns.items()
            if len(at) and key.lower() not in (*STEPS, *CLOCKS)
        }
    )


def _of_one_run(columns: Columns) -> Columns:
    """Returns the columns of an export of W&B under the names of their metrics."""
    found = {name: EXPORTED.match(name) for name in columns}
    runs = dict.fromkeys(match["run"] for match in found.values() if match)
    if len(runs) > 1:
        raise UserError(f"{len(runs)} runs, {', '.join(list(runs)[:3])}; export one of them")
    return {
        match["key"] if match else name: columns[name]
        for name, match in found.items()
        if match is None or not match["bound"]
    }


def _is_number(column: pa.ChunkedArray) -> bool:
    return bool(types.is_integer(column.type) or types.is_floating(column.type))
