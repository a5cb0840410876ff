"""How the metrics lie on disk: one Parquet file and, beside a large one, numbered segments of the
rows that follow.

The file's metadata say up to which number it holds the segments; those are leftovers, which no
reader counts. So the one rename that puts a new file in place also takes its segments out of the
count: a row is there once, never twice.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import replace_file, sync_folder, temporary_beside

SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.int64()),
        ("key", pa.string()),
        ("value", pa.float64()),
        ("time", pa.float64()),
    ]
)
FOLDED = (  # in the metadata of the file: the number of the last segment that it holds
    b"jepa_lab.folded"
)


class Stored(NamedTuple):
    """All rows on disk in order, the last segment the file holds, and the rows of the file and of
    each segment after.

    The segments in `parts[1:]` have the numbers folded + 1, folded + 2, ...
    """

    table: pa.Table
    folded: int
    parts: list[int]


def segments_folder(path: Path) -> Path:
    """The hidden folder beside `path` for its segments: `.metrics` for `metrics.parquet`. It need
    not exist."""
    return path.with_name(f".{path.stem}")


def write_whole(path: Path, table: pa.Table, folded: int = 0) -> int:
    """Write all rows to `path`; returns the number up to which segments no longer count, `folded`
    at least.

    That is the highest number there is, whoever wrote it: nothing is left to be mixed in. Does not
    remove them (see `clear_segments`). OSError leaves the rows on disk as they were, or has come
    after the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folded = max([folded, *_numbers(path)])
    _write(path, table.replace_schema_metadata({FOLDED: str(folded)}))
    return folded


def write_segment(path: Path, number: int, table: pa.Table) -> None:
    """Write segment `number` of `path`, in the place of an earlier one of that number. OSError as
    in `write_whole`."""
    folder = segments_folder(path)
    if not folder.is_dir():
        folder.mkdir(parents=True)
        sync_folder(folder.parent)
    _write(_segment(path, number), table)


def clear_segments(path: Path, folded: int) -> None:
    """Remove the segments up to number `folded`, what killed writers left, and the folder if that
    empties it.

    What cannot be removed stays, without an error: no reader counts it, and the next fold tries
    again.
    """
    folder = segments_folder(path)
    with suppress(OSError):
        leftovers = [_segment(path, number) for number in _numbers(path) if number <= folded]
        for leftover in [*leftovers, *folder.glob(".*.tmp")]:
            with suppress(OSError):
                leftover.unlink()
        folder.rmdir()


def read_stored(path: Path) -> Stored:
    """The rows of `path` and of its segments; at least those that were there when the call began,
    and no gap.

    Safe while a writer is at it. UserError if the file is missing, if anything is broken or if a
    segment is missing.
    """
    before: tuple[int, list[int]] | None = None
    while True:
        # listed first: what the file does not hold when it is read afterwards is then in the list,
        # or newer than both
        numbers = _numbers(path)
        try:
            main, folded = _read(path)
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such metrics file; give a run's folder or its metrics.parquet"
            ) from None
        live = [number for number in numbers if number > folded]
        # folded in between: the file has changed, so read it again
        with suppress(FileNotFoundError):
            if live == list(range(folded + 1, folded + 1 + len(live))):
                tables = [main, *(_read(_segment(path, number))[0] for number in live)]
                return Stored(
                    pa.concat_tables(tables), folded, [table.num_rows for table in tables]
                )
        missing = [n for n in range(folded + 1, max(live)) if not _segment(path, n).is_file()]
        # nothing has changed: it is not a fold that took the segment
        if missing and before == (folded, live):
            raise UserError(
                f"{_segment(path, missing[0])}: missing, and rows follow it; restart the run"
            )
        before = folded, live


def _numbers(path: Path) -> list[int]:
    try:
        entries = [entry for entry in segments_folder(path).iterdir() if entry.stem.isdecimal()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(entry.stem) for entry in entries if entry == _segment(path, int(entry.stem)))


def _segment(path: Path, number: int) -> Path:
    return segments_folder(path) / f"{number:06d}.parquet"


def _write(path: Path, table: pa.Table) -> None:
    tmp = temporary_beside(path)
    try:
        pq.write_table(table, tmp, compression="zstd")
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    replace_file(tmp, path)


def _read(path: Path) -> tuple[pa.Table, int]:
    """The rows of one file, and the number in its metadata: 0 if there is none. FileNotFoundError
    passes."""
    try:
        with pq.ParquetFile(path) as file:
            folded = int((file.metadata.metadata or {}).get(FOLDED, b"0"))
            return file.read().select(SCHEMA.names).cast(SCHEMA), folded
    except FileNotFoundError:
        raise
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path}: not a readable metrics file ({reason}); on_existing=restart makes the run"
            " again"
        ) from error
