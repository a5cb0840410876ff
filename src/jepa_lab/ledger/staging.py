"""Writes the files of a command together at its end, and asks early whether they can be written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import remove_leftovers, temporary_beside, write_atomic
from jepa_lab.ledger.own_files import require_kinds
from jepa_lab.ledger.run_dir import require_inside


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Yields an empty folder elsewhere, whose files are written into `folder` when the context
    ends.

    An error or an interruption within the context leaves `folder` as it was. Raises OSError if a
    file cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="jepa_lab-") as place:
        stage = Path(place)
        yield stage
        for file in sorted(path for path in stage.rglob("*") if path.is_file()):
            target = folder / file.relative_to(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, file.read_bytes())


def require_writable_run(run_dir: Path) -> None:
    """Raises UserError if a command could not write its results into an existing run's folder."""
    if run_dir.is_dir():
        require_inside(run_dir)
        require_kinds(run_dir)
        for folder in (run_dir, run_dir / "figures"):
            require_writable(folder)


def require_writable(folder: Path, option: str = "") -> None:
    """Raises UserError if no file can be created in `folder`, or in its nearest existing parent if
    it does not exist. `option` names the folder in the message, as in `--out `.

    A file is created and removed, since permissions do not show a read-only disk. Temporary files
    of a command that was killed are removed.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        what = "a file is there" if there == folder else f"{there} is a file"
        raise UserError(f"{option}{folder}: {what}, a folder is needed")
    probe = temporary_beside(there / "probe")
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise UserError(f"{option}{folder}: cannot be written ({error.strerror})") from None
    if there == folder:
        remove_leftovers(folder)
