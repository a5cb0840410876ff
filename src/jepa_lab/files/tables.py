"""Reads Parquet tables within limits, and verifies their checksums."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.files import limits
from jepa_lab.files.checksums import footer_is_intact
from jepa_lab.files.limits import OverLimit, size_text

VALUE_BYTES = 8  # of a number in memory


def open_table(path: Path) -> pq.ParquetFile:
    """Opens a Parquet file without reading its columns.

    Raises OverLimit for a pipe or a device, and for more than limits.TABLE_ROWS rows,
    limits.TABLE_BYTES bytes before compression (at least VALUE_BYTES for each value) or
    limits.FOOTER_BYTES of footer. Raises pa.ArrowException or OSError for any other file, and for
    a wrong checksum: here that of the footer, later those of the pages that are read. A file
    without checksums, which an earlier version wrote, is read too.
    """
    limits.require_regular(path)
    if not footer_is_intact(path):
        raise pa.ArrowInvalid("wrong checksum of the footer")
    file = pq.ParquetFile(path, page_checksum_verification=True)
    about = file.metadata
    n_bytes = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    # a dictionary stores a value once, and an array of the values every time
    n_bytes = max(n_bytes, about.num_rows * about.num_columns * VALUE_BYTES)
    if not _counts_agree(about):
        file.close()
        raise pa.ArrowInvalid("damaged numbers of rows in the footer")
    reason = ""
    if about.num_rows > limits.TABLE_ROWS:
        reason = f"{about.num_rows:,} rows; at most {limits.TABLE_ROWS:,} are read"
    elif n_bytes > limits.TABLE_BYTES:
        reason = f"{size_text(n_bytes)}; at most {size_text(limits.TABLE_BYTES)} are read"
    if reason:
        file.close()
        raise OverLimit(reason)
    return file


def _counts_agree(about: pq.FileMetaData) -> bool:
    """Returns whether the file, its groups of rows and its columns have as many rows as each other.
    Arrow believes the first of them."""
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    flat = [i for i in range(about.num_columns) if not about.schema.column(i).max_repetition_level]
    values = {(group.num_rows, group.column(i).num_values) for group in groups for i in flat}
    return about.num_rows == sum(group.num_rows for group in groups) and all(
        rows == n for rows, n in values
    )


def read_table(path: Path) -> pa.Table:
    """Returns all rows of a Parquet file. Raises as `open_table` does."""
    with open_table(path) as file:
        return read_rows(file)


def read_rows(file: pq.ParquetFile) -> pa.Table:
    """Returns all rows of an open file. Raises pa.ArrowException for fewer than the footer says,
    which Arrow does not notice."""
    table = file.read()
    table.validate()
    if table.num_rows != file.metadata.num_rows:
        raise pa.ArrowInvalid(f"{table.num_rows:,} rows, {file.metadata.num_rows:,} expected")
    return table
