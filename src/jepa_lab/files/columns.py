"""Reads columns of tables that others made, Parquet, Feather, Arrow or CSV, as arrays."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.types as types

from jepa_lab.files import limits
from jepa_lab.files.arrow import arrow_names, read_arrow
from jepa_lab.files.tables import open_table, read_table

DELIMITERS = {".csv": ",", ".tsv": "\t"}
ARROW = (".feather", ".arrow")
TABLES = (".parquet", *ARROW, *DELIMITERS)
# cells without a value. NaN is none of them: it is a number that is not finite
EMPTY = ["", "NA", "N/A", "n/a", "#N/A", "#NA", "#N/A N/A", "NULL", "null", "None"]
EMPTY += ["1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"]  # of Windows


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Returns the columns of a table by name: (n,), or (n, d) for lists of d numbers, or (n, v, d)
    for lists of lists. A column of another type is left out. Raises as `read_frame` and
    `columns_of` do."""
    return columns_of(read_frame(path))


def read_frame(path: Path) -> pa.Table:
    """Returns the table in a Parquet, Feather, Arrow, CSV or TSV file. Without a first line of
    names, the columns are called f0, f1 and so on.

    Raises OverLimit as `open_table` and `read_arrow` do, and for a CSV of more than
    limits.TABLE_BYTES. Raises pa.ArrowException, ValueError or OSError for a file that cannot be
    read.
    """
    suffix = path.suffix.lower()
    if suffix in ARROW:
        return read_arrow(path)
    return _read_csv(path) if suffix in DELIMITERS else read_table(path)


def column_names(path: Path) -> list[str]:
    """Returns the names of the columns of a table, [] for a CSV without names. Raises as
    `read_frame` does, and otherwise reads the names alone."""
    suffix = path.suffix.lower()
    if suffix in ARROW:
        return arrow_names(path)
    if suffix not in DELIMITERS:
        with open_table(path) as file:
            return list(file.schema_arrow.names)
    limits.size_within(path, limits.TABLE_BYTES)
    fields = _first_line(path, DELIMITERS[suffix])
    return [] if _are_values(fields) else fields


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """Returns the columns as `read_columns` does. Raises ValueError, with the name of the column
    first, for lists of several lengths and for empty cells in numbers."""
    found = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        array = _array(column.combine_chunks(), name)
        if array is not None:
            found[name] = array
    return found


def _read_csv(path: Path) -> pa.Table:
    limits.size_within(path, limits.TABLE_BYTES)
    delimiter = DELIMITERS[path.suffix.lower()]
    return pa_csv.read_csv(
        path,
        read_options=pa_csv.ReadOptions(autogenerate_column_names=has_no_names(path, delimiter)),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(null_values=EMPTY),
    )


def has_no_names(path: Path, delimiter: str) -> bool:
    """Returns whether the first line holds numbers alone, NaN among them, as numpy.savetxt writes
    it. The numbers 0, 1, 2 and so on are the names that pandas gives to columns without any."""
    return _are_values(_first_line(path, delimiter))


def counts_columns(names: Sequence[str]) -> bool:
    """Returns whether names are 0, 1, 2 and so on, as pandas writes them, after an index or not."""
    names = names[1:] if names and not names[0] else names
    return len(names) > 1 and list(names) == [str(k) for k in range(len(names))]


def _first_line(path: Path, delimiter: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        first = file.readline(limits.TEXT_BYTES)
    try:
        return next(csv.reader([first.removeprefix("\ufeff")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _are_values(fields: list[str]) -> bool:
    try:
        return bool([float(field) for field in fields]) and not counts_columns(fields)
    except ValueError:
        return False


def _array(column: pa.Array, name: str) -> np.ndarray | None:
    """Returns a column as an array, None for a type that is neither numbers nor text."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    shape = [len(column)]
    while _is_list(column.type):
        if column.null_count:
            raise ValueError(f"column {name}: {column.null_count} empty cells")
        inner = column.flatten()
        width = len(inner) // len(column) if len(column) else 0
        if not types.is_fixed_size_list(column.type):
            lengths = column.value_lengths().to_numpy(zero_copy_only=False)
            if len(lengths) and lengths.min() != lengths.max():
                raise ValueError(
                    f"column {name}: lists of {lengths.min()} to {lengths.max()} values; one length"
                    " is needed"
                )
        shape.append(width)
        column = inner
    kind = column.type
    if types.is_string(kind) or types.is_large_string(kind):
        return np.array(column.fill_null("").to_pylist(), dtype=object)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        return None
    if column.null_count and not types.is_floating(kind):
        raise ValueError(f"column {name}: {column.null_count} empty cells")
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(shape)


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
