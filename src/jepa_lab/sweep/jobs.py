"""The jobs of a sweep before they run: composed, checked, and told what there is to do for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from jepa_lab.config.check import AnyConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.sweep_folder import Record, settings_of
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.sweep.ladder import checked_rungs
from jepa_lab.sweep.records import Begin

TO_DO = {"new": "to do", "restart": "to do", "resume": "to resume", "skip": "done"}


class SweepEnded(BaseException):
    """Unwinds the sweeper: a job was asked to stop, or failed where the sweep is to end then."""


def compose_jobs(
    context: HydraContext, master: DictConfig, job_overrides: Sequence[Sequence[str]], first: int = 0
) -> list[DictConfig]:
    """The configuration of every job, its number in it, counted from `first`."""
    jobs = []
    for number, overrides in enumerate(job_overrides, start=first):
        job = context.config_loader.load_sweep_config(master, list(overrides))
        with open_dict(job):
            job.hydra.job.id = job.hydra.job.num = number
        jobs.append(job)
    return jobs


def check_jobs(jobs: Sequence[DictConfig], master: DictConfig) -> list[AnyConfig]:
    """The checked configuration of every job. UserError for the first that is wrong, before any job starts."""
    if not jobs:
        raise UserError("the sweep has no job: no experiment matches the pattern")
    if not master.hydra.sweeper.get("params"):
        for job in jobs:
            if job.hydra.sweeper.get("params"):
                raise UserError(
                    f"experiment={job.name}: sweeps by itself and would lose its sweep inside another; run it alone"
                )
    configs: list[AnyConfig] = []
    errors = []
    for job in jobs:
        try:
            configs.append(checked_rungs(without_hydra(job))[-1])
        except UserError as error:
            errors.append(str(error))
    if errors:
        rest = len(errors) - 1
        more = f" (and {rest} more of the {len(jobs)} jobs)" if rest else ""
        raise UserError(f"{errors[0]}{more}")
    return configs


def plan_jobs(
    jobs: Sequence[DictConfig], configs: Sequence[AnyConfig], build: bool = False
) -> tuple[list[Record], str]:
    """(a record of every job with its run and what there is to do, a text about the data). Touches nothing on disk.

    A job whose data cannot be used, or with `build` whose model cannot be built, is "refused" with the reason. Data
    that several jobs share are read once; of jobs that differ in their seed or the weights of arms one is built.
    """
    from jepa_lab.training.plan import build_data, decide, describe, fingerprint, run_of

    records: list[Record] = []
    data: dict[str, Any] = {}
    prints: dict[str, str] = {}
    built: dict[str, str | None] = {}  # why it cannot be
    seen: dict[str, int] = {}
    texts: dict[str, str] = {}
    for job, config in zip(jobs, configs, strict=True):
        record = Record(int(job.hydra.job.num) + 1, settings_of(job.hydra.overrides.task), "to do")
        records.append(record)
        try:
            if isinstance(config, ToyConfig):
                from jepa_lab.studies.linear_byol.plan import plan_toy

                plan = plan_toy(config)
                record.run_id, record.run_dir = plan.home.run_id, str(plan.home.path)
                record.state = TO_DO[plan.state()]
                record.reason = f"{len(plan.runs)} runs, {len(plan.pending)} to train" if len(plan.runs) > 1 else None
                texts[config.name] = "Gaussian views of the seed, drawn while training"
                _note_twin(record, seen)
                continue
            key = repr({k: v for k, v in asdict(config.dataset).items() if k not in ("tiers", "epochs")})
            if key not in prints:
                data = {key: build_data(config)}  # one at a time in memory
                prints[key] = fingerprint(data[key])
                texts[config.dataset.name] = f"{config.dataset.name}: {describe(data[key])}"
            run = run_of(config, prints[key])
            record.run_id, record.run_dir = run.run_id, str(run.path)
            record.state = TO_DO[decide(run, config.on_existing)]
            if run.state() == "running":
                record.state, record.reason = "running", _holder(run.status())
            elif run.state() in ("failed", "killed"):
                reason = (run.status() or {}).get("reason")
                record.reason = f"{run.state()} before{f': {reason}' if reason else ''}"
            _note_twin(record, seen)
            if build and record.state in ("to do", "to resume"):
                from jepa_lab.training.run import prepare

                alike = _without_numbers(config)
                if alike not in built:
                    built[alike] = None
                    try:
                        prepare(config, data.get(key) or build_data(config))
                    except UserError as error:
                        built[alike] = str(error)
                if built[alike]:
                    raise UserError(str(built[alike]))
        except UserError as error:
            record.state, record.reason, record.code = "refused", str(error), 2
    return records, "; ".join(texts.values())


def announce(jobs: Sequence[DictConfig], master: DictConfig) -> list[Record]:
    """Checks every job, shows the table of what there is to do, and writes a record of each. UserError for a wrong one,
    before any starts."""
    from jepa_lab.sweep.table import print_records, summary_line

    configs = check_jobs(jobs, master)
    Begin.control = str(jobs[0].sweep.control or "")  # the experiments' own, where they are what is swept
    records, data = plan_jobs(jobs, configs)
    print_records(records)
    print(f"{summary_line(records)}\n{data}", flush=True)
    for record in records:
        record.folder = Path(master.hydra.sweep.dir) / "jobs"
        record.write()
    return records


def without_hydra(job: DictConfig) -> DictConfig:
    """The configuration of the job as it will see it."""
    plain = OmegaConf.create(job)
    with open_dict(plain):
        plain.pop("hydra", None)
    return plain


def _without_numbers(config: Config | ArcConfig) -> str:
    """The configuration without its seed, and of its arms' weights only whether they are 0: what is built alike."""
    content = {**asdict(config), "seed": None}
    content["aux"] = {arm: {**keys, "weight": keys["weight"] > 0} for arm, keys in content["aux"].items()}
    return repr(content)


def _note_twin(record: Record, seen: dict[str, int]) -> None:
    path = str(record.run_dir)
    if path in seen:
        record.reason = f"the same run as job {seen[path]}"
    seen.setdefault(path, record.job)


def _holder(status: dict[str, Any] | None) -> str:
    return f"by process {(status or {}).get('pid')} on {(status or {}).get('host')}"
