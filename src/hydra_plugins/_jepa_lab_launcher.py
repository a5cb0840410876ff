"""Hydra launchers of jepa-lab: one runs the jobs of a sweep one after another, one only checks
them.

This module is imported at every start of jepa-lab, so nothing heavy is imported at the top.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from omegaconf import DictConfig

EMPTY = DictConfig({})
OPTIONS = {
    "sequential": {"_target_": f"{__name__}.SequentialLauncher"},
    "check": {"_target_": f"{__name__}.CheckLauncher", "single": False},
}


class SequentialLauncher(BasicLauncher):
    """Composes and checks every job before the first one starts, prints the table of states, and
    runs the jobs one after another.

    Files of conf/ that are edited while the sweep runs do not change it.
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from jepa_lab.errors import say
        from jepa_lab.ledger.sweep_folder import read_record, read_records
        from jepa_lab.sweep.jobs import announce
        from jepa_lab.sweep.parallel_hint import parallel_hint
        from jepa_lab.sweep.records import SweepEnded, command_of
        from jepa_lab.sweep.table import job_line

        setup_globals()
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        jobs = self.compose(job_overrides, initial_job_idx)
        records = announce(jobs, self.config, command_of(self.task_function))
        hint = parallel_hint(records, jobs)
        if hint:
            say(hint)
        folder = Path(self.config.hydra.sweep.dir)
        # with the jobs of earlier launches; only the job that runs changes its record
        now = {record.job: record for record in read_records(folder)}
        returns = []
        for index, record in enumerate(records):
            job, jobs[index] = jobs[index], EMPTY  # let go once it is done
            number = record.job
            print(f"\n{job_line([*now.values()], number)}", file=sys.stderr, flush=True)
            done = run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=job,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            done.cfg = done.hydra_cfg = None  # sweepers read the value only
            returns.append(done)
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
            ended = read_record(folder, number)
            if ended is not None:
                now[number] = ended
            if ends_sweep(job, "failed" if ended is None else ended.state):
                raise SweepEnded
        return returns

    def compose(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[DictConfig]:
        """Returns the configuration of every job, with its number."""
        from jepa_lab.sweep.composition import compose_jobs

        assert self.config is not None
        assert self.hydra_context is not None
        return compose_jobs(self.hydra_context, self.config, job_overrides, first)


class CheckLauncher(SequentialLauncher):
    """Lists the jobs with their runs and states, reads the data and builds every model. Trains
    nothing."""

    only_looks = True  # makes a sweeper list its jobs instead of running them

    def __init__(self, single: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.single = single  # the command line has no -m

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from jepa_lab.errors import UserError
        from jepa_lab.sweep.jobs import check_jobs, check_sweep, plan_jobs
        from jepa_lab.sweep.records import CHECKED
        from jepa_lab.sweep.table import print_records, summary_line

        setup_globals()
        assert self.config is not None
        jobs = self.compose(job_overrides, initial_job_idx)
        sweeper = self.config.hydra.sweeper
        if sweeper._target_ == CHECKED:
            single = self.single and len(jobs) == 1 and not sweeper.params
            configs = check_sweep(jobs, self.config, single)
        else:  # the other sweepers have said which keys have no effect
            configs = check_jobs(jobs, self.config)
        records, data = plan_jobs(jobs, configs, build=True, downloads=False)
        print_records(records)
        print(f"{summary_line(records)}\n{data}".rstrip(), flush=True)
        refused = [r for r in records if r.state == "refused"]
        if refused:
            raise UserError(
                f"{len(refused)} of {len(records)} jobs cannot run: {refused[0].reason}"
            )
        return []


def ends_sweep(job: DictConfig, state: str) -> bool:
    """Returns whether the sweep ends after a job with this state: it was asked to stop, or it
    failed under sweep.fail_fast."""
    return state == "stopped" or (state == "failed" and bool(job.sweep.fail_fast))
