"""Finds and reads the runs below a folder, and groups them by settings."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jepa_lab.config.tree import flatten
from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.finished_run import Run, read_run
from jepa_lab.ledger.sweep_folder import read_records
from jepa_lab.report.comparison.differences import natural, setting_text

# a folder with any of these files is a run
FILES = ("config.yaml", "status.json", "metrics.parquet", "summary.json")
EXPORT = "trained_models"  # holds copies of configurations that are not runs
OWN = ("folder", "npz")  # sources of user-defined images, which differ by their path


@dataclass(frozen=True)
class FoundRuns:
    """The readable runs sorted by path, and (path, reason) of the unreadable ones."""

    runs: list[Run]
    skipped: list[tuple[str, str]]


def find_runs(places: Path | Sequence[Path], leave_out: Path | None = None) -> FoundRuns:
    """Returns all runs below one or more folders, including themselves, but not below `leave_out`.
    Links are followed, and a run that is reached twice is read once.

    Raises UserError for a folder without a readable run."""
    runs: dict[Path, Run] = {}
    skipped: dict[Path, tuple[str, str]] = {}
    for place in [places] if isinstance(places, Path) else places:
        if not place.is_dir():
            raise UserError(f"{place}: no such folder; pass one that contains runs, e.g. runs/")
        if not any(place.iterdir()):
            raise UserError(
                f"{place}: the folder is empty; pass one that contains runs, e.g. runs/"
            )
        folders = _folders(place, leave_out)
        for path in folders:
            if path.resolve() in runs:
                continue
            try:
                runs[path.resolve()] = read_run(path)
            except (OSError, ValueError) as error:
                skipped[path.resolve()] = (str(path), _reason(error))
        _require_a_run(place, [path.resolve() for path in folders], runs, skipped)
    return FoundRuns(list(runs.values()), list(skipped.values()))


def _require_a_run(
    place: Path,
    folders: Sequence[Path],
    runs: Mapping[Path, Run],
    skipped: Mapping[Path, tuple[str, str]],
) -> None:
    if any(path in runs for path in folders):
        return
    unread = [skipped[path] for path in folders if path in skipped]
    if unread:
        path, reason = unread[0]
        raise UserError(f"{place}: no run can be read; {path}: {reason} ({len(unread)} in all)")
    raise UserError(f"{place}: no run in it; a run's folder holds {', '.join(FILES)}")


def _reason(error: Exception) -> str:
    """Returns why a run cannot be read, with the name of its file."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{Path(error.filename).name}: {error.strerror}"
    return str(error)


def lost_jobs(runs_dir: Path, runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Returns (job, reason) of jobs that failed before they had a run folder.

    They are read from the records of the sweeps below `runs_dir`."""
    own = {run.status.get("run_id") for run in runs}
    return [
        (
            f"job {record.job} of sweep {jobs.parent.name}, {' '.join(record.words)}",
            f"failed: {record.reason}",
        )
        for jobs in sorted(runs_dir.glob("sweeps/*/jobs"))
        for record in read_records(jobs.parent)
        if record.state == "failed" and record.run_id not in own
    ]


def setting(config: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a dotted key, the name of the option of a group, or the value of
    `experiment`, `dataset` or `aux`. Raises KeyError for a key that the configuration lacks."""
    if key == "experiment":
        return config.get("name")
    if key == "dataset":
        return dataset_of(config)
    if key == "aux":
        return aux_of(config)
    flat = dict(flatten(config))
    return flat[key] if key in flat else flat[f"{key}.name"]


def dataset_of(config: Mapping[str, Any]) -> str:
    """Returns the name of the dataset. User-defined images include their path, which alone
    identifies them."""
    dataset = config.get("dataset")
    if not isinstance(dataset, Mapping):
        return str(dataset or config.get("study") or "unknown")
    name, source = (
        str(dataset.get("name") or "unknown"),
        dataset.get("source") or dataset.get("name"),
    )
    place = dataset.get("root") or dataset.get("path")
    return f"{name} {place}" if source in OWN and place else name


def aux_of(config: Mapping[str, Any]) -> str:
    """Returns the auxiliary losses, e.g. `vicreg` or `vicreg+sigreg`; "none" without any."""
    aux = config.get("aux")
    if isinstance(aux, Mapping):
        aux = (
            aux["name"]
            if isinstance(aux.get("name"), str)
            else [k for k, v in aux.items() if isinstance(v, Mapping)]
        )
    if isinstance(aux, list | tuple):
        return "+".join(map(str, aux)) or "none"
    return str(aux or "none")


def check_keys(runs: Sequence[Run], keys: Iterable[str], option: str) -> None:
    """Raises UserError for a key that no run has, with the nearest existing keys."""
    for key in keys:
        if not any(_has(run.config, key) for run in runs):
            known = {
                "experiment",
                "dataset",
                "aux",
                *(k for run in runs for k, _ in flatten(run.config)),
            }
            advice = nearest(key, known) or "; e.g. experiment, aux or loss.lambda_rate"
            raise UserError(f"{option} {key}: no run has this setting{advice}")


def groups(runs: Sequence[Run], keys: Sequence[str]) -> dict[str, list[Run]]:
    """Returns {"key=value key=value": its runs} sorted by value, {"": runs} without keys.

    Raises UserError if a group has runs of different datasets."""
    check_keys(runs, keys, "--group-by")
    by_values: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        by_values.setdefault(
            tuple(natural(value_or_none(run.config, key)) for key in keys), []
        ).append(run)
    found = {
        " ".join(
            f"{key}={setting_text(value_or_none(members[0].config, key))}" for key in keys
        ): members
        for _, members in sorted(by_values.items(), key=lambda item: item[0])
    }
    for name, members in found.items():
        datasets = Counter(dataset_of(run.config) for run in members)
        if len(datasets) > 1:
            listed = ", ".join(
                f"{dataset} ({count} run{'s' * (count > 1)})" for dataset, count in datasets.items()
            )
            where = f"{name}: " if name else ""
            raise UserError(
                f"{where}runs of {len(datasets)} datasets: {listed}; --group-by dataset compares"
                " them separately"
            )
    return found


def value_or_none(config: Mapping[str, Any], key: str) -> Any:
    """Returns the value of `setting`, None if the configuration lacks the key."""
    try:
        return setting(config, key)
    except KeyError:
        return None


def _has(config: Mapping[str, Any], key: str) -> bool:
    try:
        setting(config, key)
    except KeyError:
        return False
    return True


def _folders(top: Path, leave_out: Path | None) -> list[Path]:
    """Returns the sorted folders of runs. Skips folders inside a run, hidden folders, EXPORT and
    `leave_out`. A folder that links lead to again is entered once."""
    found: list[Path] = []
    apart = leave_out.resolve() if leave_out else None
    entered: set[Path] = set()
    for place, names, files in os.walk(top, followlinks=True):
        if Path(place).resolve() in entered:
            names.clear()
            continue
        entered.add(Path(place).resolve())
        if any(name in files for name in FILES):
            found.append(Path(place))
            names.clear()
            continue
        names[:] = [
            n
            for n in names
            if not n.startswith(".") and n != EXPORT and (Path(place) / n).resolve() != apart
        ]
    return sorted(found)
