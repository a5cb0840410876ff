"""Reads Parquet tables within limits, and verifies their checksums."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.files import limits
from jepa_lab.files.checksums import footer_is_intact
from jepa_lab.files.limits import OverLimit, size_text


def open_table(path: Path) -> pq.ParquetFile:
    """Opens a Parquet file without reading its columns.

    Raises OverLimit for a pipe or a device, and for more than limits.TABLE_ROWS rows,
    limits.TABLE_BYTES bytes before compression or limits.FOOTER_BYTES of footer. Raises
    pa.ArrowException or OSError for any other file, and for a wrong checksum: here that of the
    footer, later those of the pages that are read. A file without checksums, which an earlier
    version wrote, is read too.
    """
    limits.require_regular(path)
    if not footer_is_intact(path):
        raise pa.ArrowInvalid("wrong checksum of the footer")
    file = pq.ParquetFile(path, page_checksum_verification=True)
    about = file.metadata
    n_bytes = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    reason = ""
    if about.num_rows > limits.TABLE_ROWS:
        reason = f"{about.num_rows:,} rows; at most {limits.TABLE_ROWS:,} are read"
    elif n_bytes > limits.TABLE_BYTES:
        reason = f"{size_text(n_bytes)}; at most {size_text(limits.TABLE_BYTES)} are read"
    if reason:
        file.close()
        raise OverLimit(reason)
    return file


def read_table(path: Path) -> pa.Table:
    """Returns all rows of a Parquet file. Raises as `open_table` does."""
    with open_table(path) as file:
        return file.read()
