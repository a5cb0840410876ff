"""The metrics on disk: one Parquet file and, beside a large one, numbered segments of the rows that
follow.

The metadata of the file give the number of the last segment that it contains. Segments up to that
number are leftovers, which no reader counts. So the single rename that puts a new file in place
also takes its segments out of the count, and every row counts exactly once.
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from jepa_lab.errors import UserError
from jepa_lab.files.tables import open_table, read_rows
from jepa_lab.ledger.atomic import TEMPORARY, sync_folder
from jepa_lab.ledger.tables import write_table

SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.int64()),
        ("key", pa.string()),
        ("value", pa.float64()),
        ("time", pa.float64()),
    ]
)
# metadata key of the file: the number of the last segment that it contains
FOLDED = b"jepa_lab.folded"


class Stored(NamedTuple):
    """All rows on disk, in order.

    `folded` is the number of the last segment that the file contains. `parts` are the numbers of
    rows of the file and of each later segment. The segments in `parts[1:]` are numbered folded + 1,
    folded + 2, ...
    """

    table: pa.Table
    folded: int
    parts: list[int]


def segments_folder(path: Path) -> Path:
    """Returns the hidden folder for the segments of `path`, which may not exist: `.metrics` for
    `metrics.parquet`."""
    return path.with_name(f".{path.stem}")


def write_whole(path: Path, table: pa.Table, folded: int = 0) -> int:
    """Writes all rows to `path`. Returns the number up to which segments no longer count, at least
    `folded`.

    It is the highest number on disk, whoever wrote that segment, so that no old segment can mix in.
    Does not remove the segments (see `clear_segments`). After an OSError the disk holds the old
    rows, or the new ones if the error came after the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folded = max([folded, *_numbers(path)])
    write_table(path, table.replace_schema_metadata({FOLDED: str(folded)}))
    return folded


def write_segment(path: Path, number: int, table: pa.Table) -> None:
    """Writes segment `number` of `path`, replacing an earlier one of that number. Raises OSError as
    `write_whole` does."""
    folder = segments_folder(path)
    if not folder.is_dir():
        folder.mkdir(parents=True)
        sync_folder(folder.parent)
    write_table(_segment(path, number), table)


def clear_segments(path: Path, folded: int) -> None:
    """Removes the segments up to number `folded`, temporary files of killed writers, and the folder
    if it is then empty.

    A file that cannot be removed stays, without an error: no reader counts it, and the next fold
    tries again.
    """
    folder = segments_folder(path)
    with suppress(OSError):
        leftovers = [_segment(path, number) for number in _numbers(path) if number <= folded]
        for leftover in [*leftovers, *folder.glob(TEMPORARY)]:
            with suppress(OSError):
                leftover.unlink()
        folder.rmdir()


def read_stored(path: Path) -> Stored:
    """Returns the rows of `path` and of its segments, without a gap, at least those on disk when
    the call began.

    Safe while a writer is active. Raises UserError if the file or a segment is missing, or if a
    file is broken.
    """
    before: tuple[int, list[int]] | None = None
    while True:
        # The segments are listed before the file is read. So a row that the file lacks is in a
        # listed segment, or newer than the list.
        numbers = _numbers(path)
        try:
            main, folded = _read(path)
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such metrics file; give a run's folder or its metrics.parquet"
            ) from None
        live = [number for number in numbers if number > folded]
        # if a segment was folded in between, the file has changed and is read again
        with suppress(FileNotFoundError):
            if live == list(range(folded + 1, folded + 1 + len(live))):
                tables = [main, *(_read(_segment(path, number))[0] for number in live)]
                return Stored(
                    pa.concat_tables(tables), folded, [table.num_rows for table in tables]
                )
        missing = [n for n in range(folded + 1, max(live)) if not _segment(path, n).is_file()]
        # nothing has changed since the last attempt, so no fold removed the segment
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


def _read(path: Path) -> tuple[pa.Table, int]:
    """Returns the rows of one file and the number in its metadata, 0 if there is none. Raises
    FileNotFoundError for a missing file."""
    try:
        with open_table(path) as file:
            folded = int((file.metadata.metadata or {}).get(FOLDED, b"0"))
            return read_rows(file).select(SCHEMA.names).cast(SCHEMA), folded
    except FileNotFoundError:
        raise
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path}: not a readable metrics file ({reason}); on_existing=restart repeats the run"
        ) from error
