"""The files of a sweep: a record of each job, and the tuning of a comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jepa_lab.ledger.atomic import write_json

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
    """One job, counted from 1.

    state: done, resumed (done, from a checkpoint on), skipped (finished before), running (by
    another process, or when it was killed), stopped, failed, or as it was planned; code: what a
    single run of it would exit with; pid: of the process that ran it; value: what the job returned
    to the sweeper.
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
    folder: Path | None = None  # of the sweep; None: kept in memory only

    def write(self) -> None:
        """Writes the file; OSError if that is impossible."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {k: v for k, v in asdict(self).items() if k != "folder"}
            write_json(self.folder / f"{self.job:04d}.json", content)

    def close(self, state: str, reason: str | None = None, code: int = 0) -> None:
        """The job has ended like this."""
        self.state, self.reason, self.code = state, reason, code
        self.write()


def settings_of(overrides: Iterable[Any]) -> list[str]:
    """The words of a job as they were given: the ++ that cli.native_words writes is taken off."""
    return [str(word).removeprefix("++") for word in overrides]


def read_records(sweep_dir: Path) -> list[Record]:
    """The records of a sweep in the order of its jobs; a file that cannot be read is left out."""
    records = []
    for path in sorted((sweep_dir / "jobs").glob("*.json")):
        try:
            records.append(Record(**json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue
    return sorted(records, key=lambda r: r.job)


# of hydra.job.env_set: the job's number, and whose it is
JOB, COMMAND = ("JEPA_LAB_JOB", "JEPA_LAB_COMMAND")


FILE = "tuning.json"


@dataclass(frozen=True)
class WeightTrial:
    """One tuning run. value: the metric's last one; None, with `why`, where the run did not
    complete or lacks it."""

    seed: int
    run_id: str
    run_dir: str
    value: float | None = None
    collapsed: bool = False
    why: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A weight and its runs, one a seed."""

    weight: float
    trials: list[WeightTrial]

    @property
    def mean(self) -> float | None:
        """Of the metric over the runs that have it; None without any."""
        values = [t.value for t in self.trials if t.value is not None]
        return sum(values) / len(values) if values else None

    @property
    def bad(self) -> int:
        """Runs that collapsed or gave no value."""
        return sum(t.collapsed or t.value is None for t in self.trials)


@dataclass(frozen=True)
class ArmTuning:
    """An arm, the key of its weight, the weight that stands in the middle of those tried, and what
    was tried.

    Of several arms that act together one factor of all their weights is tried: `parts` has these,
    by their keys.
    """

    arm: str
    key: str
    default: float
    candidates: list[Candidate] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    def words(self, weight: float) -> list[str]:
        """The overrides of a job with this weight (or factor)."""
        weights = {key: own * weight for key, own in self.parts.items()} or {self.key: weight}
        return [f"{key}={value:.12g}" for key, value in weights.items()]

    @property
    def chosen(self) -> Candidate | None:
        """The candidate with the fewest runs that collapsed or failed; of those the highest mean;
        of equal ones the nearest to the arm's own weight. None where no run gave a value."""
        usable = [
            (c.bad, -c.mean, self._distance(c), c.weight, c)
            for c in self.candidates
            if c.mean is not None
        ]
        return min(usable, key=lambda one: one[:-1])[-1] if usable else None

    @property
    def end(self) -> str | None:
        """ "lowest" or "highest" where the chosen weight is the last of several that was tried on
         its side, so that a
        better one may lie beyond; None inside, or alone."""
        weights = [c.weight for c in self.candidates]
        if self.chosen is None or len(weights) < 2:
            return None
        return {min(weights): "lowest", max(weights): "highest"}.get(self.chosen.weight)

    def _distance(self, candidate: Candidate) -> float:
        return round(abs(math.log(candidate.weight / self.default)), 9)


@dataclass(frozen=True)
class Tuning:
    """All arms that have a weight. sweep: the folder's name of the sweep that this belongs to."""

    sweep: str
    metric: str
    seeds: list[int]
    arms: list[ArmTuning]

    @property
    def settled(self) -> bool:
        """Whether every run gave a value, so that another start could only find the same."""
        return all(
            t.value is not None for arm in self.arms for c in arm.candidates for t in c.trials
        )

    def same_runs(self, other: Tuning) -> bool:
        """Whether both are of the same runs, compared by the same metric."""
        return (self.sweep, self.metric, self._runs()) == (other.sweep, other.metric, other._runs())

    def _runs(self) -> dict[tuple[str, float, int], str]:
        return {
            (a.arm, c.weight, t.seed): t.run_id
            for a in self.arms
            for c in a.candidates
            for t in c.trials
        }


def write_tuning(folder: Path, tuning: Tuning) -> Path:
    """Writes tuning.json: for every arm the weight that was chosen, whether it is at the end of
    what was tried, and all candidates with their figures. OSError."""
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
    """What `write_tuning` wrote into `folder`; None if there is none that can be read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
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
