"""Writes Parquet tables whole or not at all, with checksums of all that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.files.checksums import seal
from jepa_lab.ledger.atomic import replace_file, temporary_beside


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """Writes the table to `path`, with checksums that `files.tables` verifies. `options` are those
    of pyarrow's writer. Raises OSError with the name of the file."""
    tmp = temporary_beside(path)
    try:
        pq.write_table(table, tmp, compression="zstd", write_page_checksum=True, **options)
        seal(tmp)
    except BaseException as error:
        tmp.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # the error of a full disk has no filename
        raise
    replace_file(tmp, path)
