"""Hydra's own launchers that run jobs in parallel, with what a sweep of ours needs around them.

`hydra/launcher=joblib`, `submitit_local` and `submitit_slurm` start processes through the plugins
of these names. Here every job is checked before any starts, finished ones are not started, and what
becomes of them is recorded.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

WEEK = 7 * 24 * 60
QUEUE: dict[str, Any] = {
    # the output of every job, and what was sent to it
    "submitit_folder": "${hydra.sweep.dir}/.submitit/%j",
    "timeout_min": WEEK,
    "cpus_per_task": None,
    "gpus_per_node": None,
    "tasks_per_node": 1,
    "mem_gb": None,
    "nodes": 1,
    "name": "${hydra.job.name}",
    "stderr_to_stdout": True,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "joblib": {
        "_target_": "hydra_plugins.jepa_lab_parallel.JoblibLauncher",
        "n_jobs": 2,  # at once; -1: one for each core
        "backend": None,
        "prefer": "processes",
        "require": None,
        "verbose": 0,
        "timeout": None,
        # a job that no worker has begun is easily left out when the sweep stops
        "pre_dispatch": "n_jobs",
        "batch_size": 1,
        "temp_folder": None,
        "max_nbytes": None,
        "mmap_mode": "r",
    },
    "submitit_local": {
        "_target_": "hydra_plugins.jepa_lab_parallel.SubmititLocalLauncher",
        "n_jobs": 2,  # at once; the plugin by itself starts all
        **QUEUE,
    },
    "submitit_slurm": {
        "_target_": "hydra_plugins.jepa_lab_parallel.SubmititSlurmLauncher",
        **QUEUE,
        "timeout_min": 24 * 60,
        "cpus_per_task": 4,
        "gpus_per_node": 1,
        "mem_gb": 32,
        **dict.fromkeys(
            (
                "partition",
                "qos",
                "comment",
                "constraint",
                "exclude",
                "gres",
                "cpus_per_gpu",
                "gpus_per_task",
                "mem_per_gpu",
                "mem_per_cpu",
                "account",
                "setup",
            )
        ),
        "signal_delay_s": 120,
        # put into the queue again when its time is over: it goes on from its checkpoint
        "max_num_timeout": 20,
        "additional_parameters": {},
        "array_parallelism": 16,  # at once
    },
}


class ParallelOptions(SearchPathPlugin):
    """Puts our options in the place of the plugins' own. Hydra reads all plugins first, in an order
    that depends on how they are installed, and calls this before it looks for the first option."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for name, node in OPTIONS.items():
            ConfigStore.instance().store(
                group="hydra/launcher", name=name, node=node, provider="jepa_lab"
            )


class ParallelLauncher(Launcher):
    """`module` and `plugin`: the launcher that starts the processes; `extra`: of this package,
    installs it; `at_once`: how many jobs run at a time, None where others decide that; `output`:
    where in the sweep's folder the jobs write what they would print, "" for jobs that print here.
    """

    module = plugin = extra = output = ""
    at_once: int | None = None
    local = True

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from jepa_lab.errors import UserError

        try:
            plugin = getattr(import_module(f"hydra_plugins.{self.module}"), self.plugin)
            import_module(self.extra)
        except ImportError:
            chosen = config.hydra.runtime.choices["hydra/launcher"]
            raise UserError(
                f'hydra/launcher={chosen}: not installed; pip install "jepa-lab[{self.extra}]"'
            ) from None
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.inner = plugin(**self.of_plugin(dict(self.options)))
        self.inner.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options that the plugin takes. UserError for one that is wrong."""
        from jepa_lab.errors import UserError

        n = options.get("n_jobs")
        if "n_jobs" in options and (
            not isinstance(n, int) or isinstance(n, bool) or not (n == -1 or n >= 1)
        ):
            raise UserError(
                f"hydra.launcher.n_jobs={n}: expected 1 or more, or -1 for one job a core"
            )
        if n is not None:
            from jepa_lab.config.check import available_cores

            self.at_once = available_cores() if n == -1 else n
        return options

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from jepa_lab.sweep.jobs import SweepEnded, announce, compose_jobs
        from jepa_lab.sweep.orders import SweepControl
        from jepa_lab.sweep.parallel import UNFINISHED, Jobs
        from jepa_lab.sweep.records import command_of
        from jepa_lab.sweep.search import WORST

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        # they list the jobs, as our table does
        logging.getLogger("hydra_plugins").setLevel(logging.WARNING)
        jobs = compose_jobs(self.hydra_context, self.config, job_overrides, initial_job_idx)
        command = command_of(self.task_function)
        records = announce(jobs, self.config, command)
        self.warn_of_threads(jobs)
        orders = SweepControl.give(
            Path(self.config.hydra.sweep.dir), command.stop.started if command else 0.0
        )

        def elsewhere(places: Sequence[int]) -> None:
            if self.output:
                print(
                    f"output of the jobs: {Path(self.config.hydra.sweep.dir) / self.output}",
                    flush=True,
                )
            self.start(
                [[*job_overrides[i], *orders.words(records[i].job)] for i in places],
                initial_job_idx,
            )

        def here(place: int) -> None:
            run_job(
                hydra_context=self.hydra_context,
                task_function=self.task_function,
                config=jobs[place],
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
            )
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)

        ended = Jobs(records, orders, elsewhere, here, self.local).run()
        if orders.stopped() is not None or any(record.state in UNFINISHED for record in ended):
            raise SweepEnded
        worst = (
            -WORST if "minimize" not in str(self.config.hydra.sweeper.get("direction")) else WORST
        )
        values = [worst if record.value is None else record.value for record in ended]
        return [
            JobReturn(overrides=list(words), status=JobStatus.COMPLETED, _return_value=value)
            for words, value in zip(job_overrides, values, strict=True)
        ]

    def start(self, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        """Runs the jobs to their ends, each in a process of the plugin; raises if one of them
        died."""
        self.inner.launch(job_overrides, initial_job_idx=first)

    def warn_of_threads(self, jobs: Sequence[DictConfig]) -> None:
        """One line where the jobs would fight over the cores: how many threads a run has is part of
        what it is."""
        from jepa_lab.config.check import available_cores
        from jepa_lab.studies import find

        cores = available_cores()
        n = min(self.at_once or 1, len(jobs))
        threads = max(int((job.get("hardware") or {}).get("threads") or cores) for job in jobs)
        if n > 1 and n * threads > cores and not find(jobs[0].get("study")).config.single_threaded:
            print(
                f"jepa_lab: {n} jobs at once with {threads} threads each on {cores} cores; give"
                f" each its share with hardware.threads={max(cores // n, 1)} (other runs than those"
                f" with {threads}: bits depend on it)",
                file=sys.stderr,
            )


class JoblibLauncher(ParallelLauncher):
    """Worker processes on this machine, each for one job after another."""

    module, plugin, extra = "hydra_joblib_launcher.joblib_launcher", "JoblibLauncher", "joblib"


class SubmititLocalLauncher(ParallelLauncher):
    """A process on this machine for every job."""

    module, plugin, extra = "hydra_submitit_launcher.submitit_launcher", "LocalLauncher", "submitit"
    output = ".submitit"

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in super().of_plugin(options).items() if k != "n_jobs"}

    def start(self, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        with ThreadPoolExecutor(self.at_once) as pool:
            waiting = [pool.submit(self.inner.launch, [words], first) for words in job_overrides]
            errors = [done.exception() for done in as_completed(waiting)]
        for error in errors:
            if error is not None:
                raise error


class SubmititSlurmLauncher(ParallelLauncher):
    """Jobs in the queue of a Slurm cluster, as one array. The command waits for them all."""

    module, plugin, extra = "hydra_submitit_launcher.submitit_launcher", "SlurmLauncher", "submitit"
    output = ".submitit"
    local = False

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        from jepa_lab.errors import UserError

        if shutil.which("srun") is None:  # what submitit looks for, after the jobs were announced
            raise UserError(
                "hydra/launcher=submitit_slurm: no Slurm here (no srun); submitit_local runs the"
                " jobs here"
            )
        return super().of_plugin(options)
