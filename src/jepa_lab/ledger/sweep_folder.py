"""The files of a sweep: a record of each job, and the tuning of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jepa_lab.files.text import parse_json, read_text
from jepa_lab.ledger.atomic import TEMPORARY, write_json

# the files in the folder `jobs` of a sweep: records and messages
OF_JOBS = ("[0-9][0-9][0-9][0-9]*.json", "command", "stop", TEMPORARY)
STATES = (
    "done",
    "skipped",
    "resumed",
    "stopped",
    "running",
    "failed",
    "to do",
    "to resume",
    "refused",
)


@dataclass
class Record:
    """One job of a sweep.

    - `job` is its number, from 1.
    - `words` are its overrides. The field keeps this name, since it is a key of the record's file.
    - `state` is done, resumed (completed from a checkpoint), skipped (finished before), running (in
      another process, or when it was killed), stopped, failed, or the planned state.
    - `code` is the exit code that a single run of the job would have.
    - `pid` is the process that ran it.
    - `value` is the value that the job returned to the sweeper.
    - `folder` holds the records of the sweep. None keeps the record in memory only.
    """

    job: int
    words: list[str]
    state: str
    run_id: str | None = None
    run_dir: str | None = None
    reason: str | None = None
    code: int = 0
    pid: int | None = None
    value: float | None = None
    folder: Path | None = None

    def write(self) -> None:
        """Writes the record's file. Raises OSError on failure."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {k: v for k, v in asdict(self).items() if k != "folder"}
            write_json(self.folder / _file_of(self.job), content)

    def has_run(self) -> bool:
        """Returns whether the folder of the job's run exists."""
        return self.run_dir is not None and Path(self.run_dir).is_dir()

    def close(self, state: str, reason: str | None = None, code: int = 0) -> None:
        """Records the end of the job."""
        self.state, self.reason, self.code = state, reason, code
        self.write()


def settings_of(overrides: Iterable[Any]) -> list[str]:
    """Returns the overrides of a job as typed, without the ++ that cli.overrides adds."""
    return [str(override).removeprefix("++") for override in overrides]


def read_records(sweep_dir: Path) -> list[Record]:
    """Returns the records of a sweep in the order of its jobs, without files that cannot be
    read."""
    paths = sorted((sweep_dir / "jobs").glob("*.json"))
    records = [record for path in paths if (record := _read_record(path)) is not None]
    return sorted(records, key=lambda r: r.job)


def read_record(sweep_dir: Path, job: int) -> Record | None:
    """Returns the record of one job, counted from 1, None if it cannot be read."""
    return _read_record(sweep_dir / "jobs" / _file_of(job))


def _read_record(path: Path) -> Record | None:
    try:
        return Record(**parse_json(read_text(path)))
    except (OSError, ValueError, TypeError):
        return None


def _file_of(job: int) -> str:
    return f"{job:04d}.json"


def remove_records(sweep_dir: Path) -> None:
    """Removes the records of a sweep and the messages to its jobs. Other files in the folder
    stay, since any folder may be given as that of a sweep. Ignores files that cannot be
    removed."""
    folder = sweep_dir / "jobs"
    with suppress(OSError):
        for path in folder.iterdir() if folder.is_dir() else ():
            if any(fnmatchcase(path.name, pattern) for pattern in OF_JOBS):
                path.unlink(missing_ok=True)
        folder.rmdir()  # only an empty one


# keys of hydra.job.env_set: the job's number, and the token of the command that owns the job
JOB, COMMAND = ("JEPA_LAB_JOB", "JEPA_LAB_COMMAND")

FILE = "tuning.json"


@dataclass(frozen=True)
class WeightTrial:
    """One tuning run. `value` is the last value of the metric. If the run did not complete or lacks
    it, `value` is None and `why` is the reason."""

    seed: int
    run_id: str
    run_dir: str
    value: float | None = None
    collapsed: bool = False
    why: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A weight and its runs, one per seed."""

    weight: float
    trials: list[WeightTrial]

    @property
    def mean(self) -> float | None:
        """The mean of the metric over the runs that have it, None if no run does."""
        values = [t.value for t in self.trials if t.value is not None]
        return sum(values) / len(values) if values else None

    @property
    def bad(self) -> int:
        """The number of runs that collapsed or have no value."""
        return sum(t.collapsed or t.value is None for t in self.trials)


@dataclass(frozen=True)
class ArmTuning:
    """The tuning of one arm: the key of its weight, the default weight in the middle, and the
    candidates that were tried.

    An arm of several losses tunes one common factor of all their weights. `parts` then maps the
    keys of these weights to their defaults.
    """

    arm: str
    key: str
    default: float
    candidates: list[Candidate] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    def overrides(self, weight: float) -> list[str]:
        """Returns the overrides of a job with this weight (or factor)."""
        weights = {key: own * weight for key, own in self.parts.items()} or {self.key: weight}
        return [f"{key}={value:.12g}" for key, value in weights.items()]

    @property
    def chosen(self) -> Candidate | None:
        """The candidate with the fewest runs that collapsed or failed.

        Ties go to the highest mean, then to the weight nearest to the arm's default. None if no run
        has a value.
        """
        usable = [
            (c.bad, -c.mean, self._distance(c), c.weight, c)
            for c in self.candidates
            if c.mean is not None
        ]
        return min(usable, key=lambda one: one[:-1])[-1] if usable else None

    @property
    def end(self) -> str | None:
        """The end of the tried range at which the chosen weight lies, "lowest" or "highest".

        A better weight may lie beyond it. None inside the range, or for a single weight.
        """
        weights = [c.weight for c in self.candidates]
        if self.chosen is None or len(weights) < 2:
            return None
        return {min(weights): "lowest", max(weights): "highest"}.get(self.chosen.weight)

    def _distance(self, candidate: Candidate) -> float:
        return round(abs(math.log(candidate.weight / self.default)), 9)


@dataclass(frozen=True)
class Tuning:
    """The tuning of all arms that have a weight. `sweep` is the name of the sweep's folder."""

    sweep: str
    metric: str
    seeds: list[int]
    arms: list[ArmTuning]

    @property
    def settled(self) -> bool:
        """Whether every run has a value. Starting the tuning again would then change nothing."""
        return all(
            t.value is not None for arm in self.arms for c in arm.candidates for t in c.trials
        )

    def same_runs(self, other: Tuning) -> bool:
        """Returns whether both tunings have the same runs and compare them by the same metric."""
        return (self.sweep, self.metric, self._runs()) == (other.sweep, other.metric, other._runs())

    def _runs(self) -> dict[tuple[str, float, int], str]:
        return {
            (a.arm, c.weight, t.seed): t.run_id
            for a in self.arms
            for c in a.candidates
            for t in c.trials
        }


def write_tuning(folder: Path, tuning: Tuning) -> Path:
    """Writes tuning.json and returns its path. Raises OSError on failure.

    For every arm it has the chosen weight, whether that is at the end of the tried range, and all
    candidates with their results.
    """
    path = folder / FILE
    arms = [
        {
            **asdict(arm),
            "chosen": arm.chosen.weight if arm.chosen else None,
            "at_the_end": bool(arm.end),
            "candidates": [
                {**asdict(c), "mean": c.mean, "collapsed_or_failed": c.bad} for c in arm.candidates
            ],
        }
        for arm in tuning.arms
    ]
    write_json(path, {**asdict(tuning), "arms": arms})
    return path


def read_tuning(folder: Path) -> Tuning | None:
    """Returns the tuning that `write_tuning` wrote into `folder`, None if there is no readable
    file."""
    try:
        content = parse_json(read_text(folder / FILE))
        arms = [
            ArmTuning(
                a["arm"],
                a["key"],
                a["default"],
                [_candidate(c) for c in a["candidates"]],
                a.get("parts", {}),
            )
            for a in content["arms"]
        ]
        return Tuning(content["sweep"], content["metric"], list(content["seeds"]), arms)
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _candidate(content: dict[str, Any]) -> Candidate:
    trials: Sequence[dict[str, Any]] = content["trials"]
    return Candidate(content["weight"], [WeightTrial(**t) for t in trials])
