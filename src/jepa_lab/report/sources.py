"""What a path given to `diagnose` holds: a run of ours, a log of other code, or files of
features."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from jepa_lab.diagnosis.taps import JUDGED
from jepa_lab.errors import UserError
from jepa_lab.files.columns import TABLES, column_names
from jepa_lab.files.hdf5 import HDF5
from jepa_lab.ledger.own_files import FILES
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_yaml
from jepa_lab.ledger.segments import SCHEMA
from jepa_lab.report.foreign_logs import START, judged_part
from jepa_lab.report.log_readers import EVENTS, Log, is_log_file, read_log

METRICS = "metrics.parquet"
RUN_TABLES = tuple(name for name in FILES if name.endswith(".parquet"))
CSV = "metrics.csv"  # of Lightning's CSVLogger
FEATURES = (".npz", ".npy", ".pth", ".pt", ".safetensors", *HDF5, *TABLES)
ADVICE = "give a run's folder, a log or a file of features"


@dataclass(frozen=True)
class Source:
    """What was given: the folder of a run, a log, or files of features. Exactly one is set."""

    run: Path | None = None
    log: Log | None = None
    features: tuple[Path, ...] = ()


def source_of(given: Sequence[Path]) -> Source:
    """Returns what paths hold. A path that does not exist may be a pattern, such as z_*.npz.

    Raises UserError for a path that does not exist, and for several that are not all files of
    features."""
    paths = [path for pattern in given for path in _existing(pattern)]
    for path in paths:
        require_file_or_folder(path)
    if len(paths) == 1:
        return _of_folder(paths[0]) if paths[0].is_dir() else _of_file(paths[0])
    return _series(paths)


def require_file_or_folder(path: Path) -> None:
    """Raises UserError for a pipe, a device or a link to one."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: a pipe or a device; {ADVICE}")


def _existing(pattern: Path) -> list[Path]:
    """Returns the path, or the files that match it if it is a pattern."""
    if pattern.exists() or pattern.is_symlink():
        return [pattern]
    found = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
    if not found:
        raise UserError(f"{pattern}: no such file or folder; {ADVICE}")
    return found


def _of_file(path: Path) -> Source:
    if path.name in RUN_TABLES and not _is_foreign(path):
        return Source(run=path.parent)
    log = read_log([path])
    return Source(features=(path,)) if log is None else Source(log=log)


def _of_folder(folder: Path) -> Source:
    """Returns what a folder holds: a run of ours, a log, or else its files of features."""
    metrics = folder / METRICS
    if metrics.is_file() and _is_foreign(metrics):
        return Source(log=read_log([metrics]))
    if any((folder / name).exists() for name in (*RUN_TABLES, "status.json")):
        return Source(run=folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    logs = [path for path in files if is_log_file(path)]
    events = [path for path in logs if EVENTS in path.name]
    parts = events or logs[:1] or [path for path in files if path.name == CSV]
    log = read_log(parts) if parts else None
    if log is not None:
        return Source(log=log)
    features = [path for path in files if path.suffix.lower() in FEATURES]
    if len(features) > 1:
        return _series(features)
    if features:
        return _of_file(features[0])
    _require_no_logs_inside(folder)
    return Source(run=folder)  # whose reader says what is missing


def _require_no_logs_inside(folder: Path) -> None:
    """Raises UserError for a folder of folders with logs, such as wandb or lightning_logs."""
    patterns = (f"*/{CSV}", "*/*.wandb", f"*/*{EVENTS}*")
    inside = {path.parent.resolve() for pattern in patterns for path in folder.glob(pattern)}
    if inside and not any(folder.glob("*/status.json")):
        latest = max(inside, key=lambda path: path.stat().st_mtime)
        place = folder / latest.name
        raise UserError(f"{folder}: {len(inside)} folders with logs; pass one, e.g. {place}")


def _series(paths: Sequence[Path]) -> Source:
    """Returns several files of features. Raises UserError if one of them is none."""
    for path in paths:
        if path.is_dir() or path.name in RUN_TABLES or read_log([path]) is not None:
            what = "a folder" if path.is_dir() else "a log"
            raise UserError(f"{path}: {what}; of several paths, each has to be a file of features")
    return Source(features=tuple(paths))


def _is_foreign(metrics: Path) -> bool:
    """Returns whether a metrics.parquet is not that of a run of a study: it has metrics of taps
    that no study judges, none at the start of the training, and no study's files beside it."""
    config = read_yaml(metrics.with_name("config.yaml"))
    if metrics.name != METRICS or "study" in config or metrics.with_name("status.json").exists():
        return False
    try:
        if not set(column_names(metrics)) >= set(SCHEMA.names):
            return True
        history = history_of(metrics)
    except (UserError, OSError, ValueError, pa.ArrowException):
        return False  # the reader of runs says what is wrong
    if any(key.startswith(f"{START}/") for key in history):
        return False
    read = judged_part(history)
    return read.prefix != "val" or not set(read.taps) <= set(JUDGED)
