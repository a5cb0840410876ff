"""The files that a run, and the commands about it, write into the run's folder. A restart removes
these and no others. Anything of another kind at one of these names is refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import TEMPORARY

LOCK = ".lock"
EVERY = ("*",)
FILES = (
    "config.yaml",
    "overrides.yaml",
    "status.json",
    "summary.json",
    "metrics.parquet",
    "linear_byol.parquet",
    "theory.parquet",
    "report.html",
    "pictures.pt",
    "run.log",
    "evaluation.json",
    "decoded.json",
    "diagnosis.json",
    "investigation.*",
)
# folder -> the files in it and below
FOLDERS = {
    "checkpoints": ("*.ckpt",),
    "figures": ("*.png", "*.csv", "*.json"),
    ".metrics": ("*.parquet",),
    # the folders of loggers
    "wandb": EVERY,
    "tensorboard": EVERY,
    "csv": EVERY,
}
SHOWN = 3  # files that an error names


def remove_own_files(folder: Path) -> None:
    """Removes the files of a run. The folder and its lock stay.

    Raises UserError if there is any other file, and then removes nothing. Raises OSError if a file
    cannot be removed.
    """
    files = [path for path in _files(folder) if path != folder / LOCK]
    others = sorted(str(p.relative_to(folder)) for p in files if not _is_own(p, folder))
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise UserError(
            f"{folder}: a restart removes what a run writes, but there is also"
            f" {', '.join(others[:SHOWN])}{more}; move that to another folder"
        )
    for path in files:
        path.unlink(missing_ok=True)
    for name in FOLDERS:
        for place, _, _ in os.walk(folder / name, topdown=False):
            with suppress(OSError):  # an empty folder of someone else stays
                os.rmdir(place)


def require_kinds(folder: Path) -> None:
    """Raises UserError for a folder (or a pipe) at the name of a run's file, and for a file at the
    name of one of its folders. Accepts a folder that is missing."""
    for path, patterns in _entries(folder):
        if path.parent == folder and path.name in FOLDERS:
            if os.path.exists(path) and not path.is_dir():
                raise UserError(f"{path}: a file is there, but a run needs a folder; move it away")
        elif _matches(path, patterns) and os.path.exists(path) and not path.is_file():
            what = "a folder" if path.is_dir() else "no regular file"
            raise UserError(f"{path}: {what} is there, but a run writes a file; move it away")


def _entries(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yields (path, patterns of the names of files there) of everything in a run's folder and in
    its folders, except in those of loggers."""
    top = sorted(os.listdir(folder)) if folder.is_dir() else []
    yield from ((folder / name, (*FILES, LOCK)) for name in top)
    for name in [name for name in top if FOLDERS.get(name, EVERY) != EVERY]:
        for place, folders, names in os.walk(folder / name):
            yield from ((Path(place, inner), FOLDERS[name]) for inner in (*folders, *names))


def _files(folder: Path) -> Iterator[Path]:
    """Yields all files below a folder, and links to folders without what is in them."""
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in (*names, *links))


def _is_own(path: Path, folder: Path) -> bool:
    top, *rest = path.relative_to(folder).parts
    patterns = FOLDERS.get(top, ()) if rest else (*FILES, *FOLDERS)
    return _matches(path, (*patterns, TEMPORARY))


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path.name, pattern) for pattern in patterns)
