"""Composes, checks and plans the jobs of a sweep before they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from jepa_lab.config.run_config import RunConfig
from jepa_lab.config.shared_check import SharedCheck
from jepa_lab.errors import UserError
from jepa_lab.ledger.sweep_folder import Record, settings_of
from jepa_lab.process.memory import memory_at_hand
from jepa_lab.studies import find
from jepa_lab.sweep.hydra_keys import refuse_in_a_run, require_keys_of_hydra
from jepa_lab.sweep.idle_keys import say_idle_keys
from jepa_lab.sweep.ladder import checked_rungs
from jepa_lab.sweep.records import RunningSweep
from jepa_lab.sweep.table import print_records, summary_line

JOB = 500e3  # bytes of a composed job
MOST_JOBS = 1e6  # where the memory is not known
TO_DO = {"new": "to do", "restart": "to do", "resume": "to resume", "skip": "done"}


def require_jobs(overrides: Sequence[Override], max_batch_size: int | None) -> None:
    """Raises UserError for a sweep without a job, for more jobs than the memory holds, and for
    batches without a job."""
    if max_batch_size is not None and max_batch_size < 1:
        raise UserError(f"hydra.sweeper.max_batch_size={max_batch_size}: must be at least 1")
    jobs, most = 1, int(min(memory_at_hand() / JOB, MOST_JOBS))
    for override in overrides:
        if not override.is_discrete_sweep():
            continue
        line = str(override.input_line).removeprefix("++")
        try:
            # a range may have more values than the memory holds
            values = sum(1 for _ in islice(override.sweep_string_iterator(), most + 1))
        except ValueError as error:  # of a range without a step
            raise UserError(f"{line}: {error}") from error
        jobs *= values
        if not values:
            raise UserError(f"{line}: no value matches or remains, so the sweep has no job")
        if jobs > most:
            raise UserError(f"{line}: more than {most:,} jobs, which the memory does not hold")


def check_jobs(jobs: Sequence[DictConfig], master: DictConfig) -> list[RunConfig]:
    """Returns the checked configuration of every job. Raises UserError for the first invalid one,
    and for keys of Hydra that no job could follow, before any job starts."""
    return [rungs[-1] for rungs in _rungs_of_jobs(jobs, master)]


def check_sweep(
    jobs: Sequence[DictConfig], master: DictConfig, single: bool = False
) -> list[RunConfig]:
    """Returns `check_jobs` of all jobs of a sweep, and says which of the given keys have no effect
    on any of them. With `single` the only job is a run without a sweep, in a check of it."""
    if single:
        own = ("hydra/launcher=", "hydra.launcher.", f"hydra.sweep.dir={master.hydra.sweep.dir}")
        refuse_in_a_run(o for o in master.hydra.overrides.hydra if not o.startswith(own))
    every = _rungs_of_jobs(jobs, master)
    alike = [(job, config) for job, rungs in zip(jobs, every, strict=True) for config in rungs]
    say_idle_keys(alike, jobs[0].hydra, master.hydra, single)
    return [rungs[-1] for rungs in every]


def _rungs_of_jobs(jobs: Sequence[DictConfig], master: DictConfig) -> list[list[RunConfig]]:
    require_keys_of_hydra(master.hydra)
    if not jobs:
        raise UserError("the sweep has no job: no experiment matches the pattern")
    if not master.hydra.sweeper.get("params"):
        for job in jobs:
            if job.hydra.sweeper.get("params"):
                raise UserError(
                    f"experiment={job.name}: defines a sweep, which would be lost inside another"
                    " one; run it alone"
                )
    configs: list[list[RunConfig]] = []
    errors = []
    shared = SharedCheck()
    for job in jobs:
        try:
            configs.append(checked_rungs(job, shared))
        except UserError as error:
            errors.append(str(error))
    if errors:
        rest = len(errors) - 1
        more = f" (and {rest} more of the {len(jobs)} jobs)" if rest else ""
        raise UserError(f"{errors[0]}{more}")
    return configs


def plan_jobs(
    jobs: Sequence[DictConfig],
    configs: Sequence[RunConfig],
    build: bool = False,
    downloads: bool = True,
) -> tuple[list[Record], str]:
    """Returns (a record of every job with its run and its planned state, a text about the data).
    Nothing on disk is touched.

    A job is "refused", with the reason, if its data cannot be used or, with `build`, its model
    cannot be built. Without `downloads` it is refused if its data are not on this machine. Shared
    data are read once. Of several jobs that differ only in the seed or in the weights of auxiliary
    losses, only one model is built.
    """
    records: list[Record] = []
    first_jobs: dict[str, int] = {}
    shared = _SharedData(downloads)
    for job, config in zip(jobs, configs, strict=True):
        record = Record(int(job.hydra.job.num) + 1, settings_of(job.hydra.overrides.task), "to do")
        records.append(record)
        try:
            plan = find(config.study).planner.plan(config, shared.fingerprint(config))
            run = plan.home
            record.run_id, record.run_dir = run.run_id, str(run.path)
            record.state, record.reason = TO_DO[plan.decide()], plan.note()
            if run.state() == "running":
                record.state, record.reason = "running", _holder(run.status())
            elif run.state() in ("failed", "killed"):
                reason = (run.status() or {}).get("reason")
                record.reason = f"{run.state()} before{f': {reason}' if reason else ''}"
            _note_twin(record, first_jobs)
            if build and record.state in ("to do", "to resume"):
                shared.require_buildable(config)
        except UserError as error:
            record.state, record.reason, record.code = "refused", str(error), 2
    return records, "; ".join(shared.texts.values())


class _SharedData:
    """The data of several jobs. Each data set is read once, and only one at a time is in memory.
    `texts` holds a description of each."""

    def __init__(self, downloads: bool) -> None:
        self.downloads = downloads
        self.texts: dict[str, str] = {}
        self._data: dict[str, Any] = {}
        self._prints: dict[str, str] = {}
        # by configuration without its numbers: why it cannot be built, None if it can
        self._refusals: dict[str, str | None] = {}

    def fingerprint(self, config: RunConfig) -> str:
        """Returns the hash of the configuration's data. Raises UserError if they cannot be used."""
        planner, key = find(config.study).planner, self._key(config)
        if key not in self._prints:
            if not self.downloads:
                planner.require_stored(config)
            self._data = {key: planner.load(config)}
            self._prints[key] = planner.fingerprint(self._data[key])
            self.texts[key] = planner.describe(config, self._data[key])
        return self._prints[key]

    def require_buildable(self, config: RunConfig) -> None:
        """Raises UserError if the study cannot build the model of the configuration."""
        entry, alike = find(config.study), _without_numbers(config)
        if alike not in self._refusals:
            data = self._data.get(self._key(config)) or entry.planner.load(config)
            self._refusals[alike] = None
            try:
                if not entry.planner.try_build(config, data):
                    entry.study.prepare(config, data)
            except UserError as error:
                self._refusals[alike] = str(error)
        if self._refusals[alike]:
            raise UserError(str(self._refusals[alike]))

    def _key(self, config: RunConfig) -> str:
        return f"{config.study} {find(config.study).planner.data_key(config)}"


def announce(jobs: Sequence[DictConfig], master: DictConfig, command: Any) -> list[Record]:
    """Checks every job, prints the table of planned states and returns the records, written to
    disk.

    The sweep is stored in `command`, which is None if another program started the sweep. Raises
    UserError for an invalid job before any job starts.
    """
    configs = check_jobs(jobs, master)
    if command is not None:
        command.sweep = RunningSweep.of(master)
        # from the first job, since a sweep over experiments has it only in its jobs
        command.sweep.control = str(jobs[0].sweep.control or "")
    records, data = plan_jobs(jobs, configs)
    print_records(records)
    print(f"{summary_line(records)}\n{data}", flush=True)
    for record in records:
        record.folder = Path(master.hydra.sweep.dir) / "jobs"
        record.write()
    return records


def _without_numbers(config: RunConfig) -> str:
    """Returns the configuration as text without its seed.

    Weights of auxiliary losses are reduced to whether they are above 0. Configurations with the
    same text build the same model.
    """
    content = {**asdict(config), "seed": None}
    aux = content.get("aux") or {}
    content["aux"] = {name: {**keys, "weight": keys["weight"] > 0} for name, keys in aux.items()}
    return repr(content)


def _note_twin(record: Record, first_jobs: dict[str, int]) -> None:
    path = str(record.run_dir)
    if path in first_jobs:
        record.reason = f"the same run as job {first_jobs[path]}"
    first_jobs.setdefault(path, record.job)


def _holder(status: dict[str, Any] | None) -> str:
    return f"by process {(status or {}).get('pid')} on {(status or {}).get('host')}"
