"""Reads columns of tables that others made, Parquet or CSV, as arrays."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.types as types

from jepa_lab.files import limits
from jepa_lab.files.tables import read_table

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Returns the columns of a Parquet, CSV or TSV file by name: (n,), or (n, d) for lists of d
    numbers, or (n, v, d) for lists of lists. A column of another type is left out.

    Raises OverLimit as `open_table` does, and for a CSV of more than limits.TABLE_BYTES. Raises
    ValueError, with the name of the column first, for lists of several lengths and for empty
    cells in numbers. Raises pa.ArrowException or OSError for a file that cannot be read.
    """
    table = read_table(path) if path.suffix.lower() not in DELIMITERS else _read_csv(path)
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
    )


def has_no_names(path: Path, delimiter: str) -> bool:
    """Returns whether the first line holds numbers alone, as numpy.savetxt writes it."""
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        first = file.readline(limits.TEXT_BYTES)
    try:
        fields = next(csv.reader([first], delimiter=delimiter), [])
        return bool(fields) and all(np.isfinite(float(field)) for field in fields)
    except (ValueError, csv.Error):
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
