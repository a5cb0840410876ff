"""Hydra's own launchers for parallel jobs, extended for the sweeps of jepa-lab.

`hydra/launcher=joblib`, `submitit_local` and `submitit_slurm` start processes through the plugins
of these names. Every job is checked before any starts, finished jobs are not started, and the
outcomes are recorded.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

WEEK = 7 * 24 * 60
CORES = 4  # of a task with hardware.threads=null, which are then its threads
QUEUE: dict[str, Any] = {
    # the output of every job, and the pickled task
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
        "_target_": f"{__name__}.JoblibLauncher",
        "n_jobs": 2,  # jobs at once; -1: one per core
        "backend": None,
        "prefer": "processes",
        "require": None,
        "verbose": 0,
        "timeout": None,
        # jobs that no worker holds yet are skipped when the sweep stops
        "pre_dispatch": "n_jobs",
        "batch_size": 1,
        "temp_folder": None,
        "max_nbytes": None,
        "mmap_mode": "r",
    },
    "submitit_local": {
        "_target_": f"{__name__}.SubmititLocalLauncher",
        "n_jobs": 2,  # jobs at once; the plugin alone would start all of them
        **QUEUE,
    },
    "submitit_slurm": {
        "_target_": f"{__name__}.SubmititSlurmLauncher",
        **QUEUE,
        "timeout_min": 24 * 60,
        # null: those of the runs, see of_hardware
        "nodes": None,
        "tasks_per_node": None,
        "cpus_per_task": None,
        "gpus_per_node": None,
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
        # how often a job is requeued at its time limit; it resumes from its checkpoint
        "max_num_timeout": 20,
        "additional_parameters": {},
        "array_parallelism": 16,  # jobs at once
    },
}


class ParallelLauncher(Launcher):
    """A launcher that starts processes through a plugin.

    - `module` and `plugin` name the launcher that starts the processes.
    - `extra` is the extra of jepa-lab that installs the plugin.
    - `at_once` is the number of jobs at a time. None if the plugin decides.
    - `output` is the folder, relative to the sweep's folder, for the output of the jobs. "" if they
      print to this terminal.
    - `local` is true if the processes are on this machine.
    """

    module = plugin = extra = output = ""
    at_once: int | None = None
    local = True

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from jepa_lab.errors import UserError, to_install

        try:
            plugin = getattr(import_module(f"hydra_plugins.{self.module}"), self.plugin)
            import_module(self.extra)
        except ImportError:
            chosen = config.hydra.runtime.choices["hydra/launcher"]
            raise UserError(
                f"hydra/launcher={chosen}: not installed; {to_install(self.extra)}"
            ) from None
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.inner = plugin(**self.of_plugin(dict(self.options)))
        self.inner.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        """Returns the options that the plugin takes. Raises UserError for an invalid one."""
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
        from jepa_lab.sweep.composition import compose_jobs
        from jepa_lab.sweep.jobs import announce
        from jepa_lab.sweep.orders import SweepControl
        from jepa_lab.sweep.parallel import UNFINISHED, Jobs
        from jepa_lab.sweep.records import SweepEnded, command_of
        from jepa_lab.sweep.search import WORST

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        # the plugins list the jobs, which our table already does
        logging.getLogger("hydra_plugins").setLevel(logging.WARNING)
        jobs = compose_jobs(self.hydra_context, self.config, job_overrides, initial_job_idx)
        command = command_of(self.task_function)
        records = announce(jobs, self.config, command)
        self.warn_of_threads(jobs)
        orders = SweepControl.create(
            Path(self.config.hydra.sweep.dir), command.stop.started if command else 0.0
        )

        def elsewhere(places: Sequence[int]) -> None:
            if self.output:
                print(
                    f"output of the jobs: {Path(self.config.hydra.sweep.dir) / self.output}",
                    flush=True,
                )
            self.start(
                [[*job_overrides[i], *orders.overrides(records[i].job)] for i in places],
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
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value=value)
            for overrides, value in zip(job_overrides, values, strict=True)
        ]

    def start(self, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        """Runs the jobs to their ends, each in a process of the plugin. Raises if a process
        died."""
        self.inner.launch(job_overrides, initial_job_idx=first)

    def warn_of_threads(self, jobs: Sequence[DictConfig]) -> None:
        """Prints a warning if the jobs need more threads than there are cores.

        The number of threads is not reduced here, since it is part of a run's identity.
        """
        from jepa_lab.config.check import available_cores
        from jepa_lab.studies import find

        cores = available_cores()
        n = min(self.at_once or 1, len(jobs))
        threads = max(int((job.get("hardware") or {}).get("threads") or cores) for job in jobs)
        if n > 1 and n * threads > cores and not find(jobs[0].get("study")).config.single_threaded:
            print(
                f"jepa_lab: {n} jobs at once with {threads} threads each on {cores} cores; for full"
                f" speed set hardware.threads={max(cores // n, 1)} (these are other runs than"
                f" those with {threads} threads, since rounding depends on the number)",
                file=sys.stderr,
            )


class JoblibLauncher(ParallelLauncher):
    """Worker processes on this machine. Each one runs several jobs one after another, and ends soon
    after the command is gone."""

    module, plugin, extra = "hydra_joblib_launcher.joblib_launcher", "JoblibLauncher", "joblib"

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        from jepa_lab.process.orphans import end_with_parent

        watch = {"initializer": end_with_parent, "initargs": (os.getpid(),)}
        return {**super().of_plugin(options), **watch}


class SubmititLocalLauncher(ParallelLauncher):
    """One process on this machine for every job."""

    module, plugin, extra = "hydra_submitit_launcher.submitit_launcher", "LocalLauncher", "submitit"
    output = ".submitit"

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in super().of_plugin(options).items() if k != "n_jobs"}

    def start(self, job_overrides: Sequence[Sequence[str]], first: int) -> None:
        with ThreadPoolExecutor(self.at_once) as pool:
            waiting = [pool.submit(self.inner.launch, [job], first) for job in job_overrides]
            errors = [done.exception() for done in as_completed(waiting)]
        for error in errors:
            if error is not None:
                raise error


class SubmititSlurmLauncher(ParallelLauncher):
    """Jobs in the queue of a Slurm cluster, as one array. The command waits for all of them."""

    module, plugin, extra = "hydra_submitit_launcher.submitit_launcher", "SlurmLauncher", "submitit"
    output = ".submitit"
    local = False

    def of_plugin(self, options: dict[str, Any]) -> dict[str, Any]:
        from jepa_lab.errors import UserError

        # submitit checks this too, but only after the jobs are announced
        if shutil.which("srun") is None:
            raise UserError(
                "hydra/launcher=submitit_slurm: no Slurm here (no srun); use submitit_local to run"
                " the jobs on this machine"
            )
        return {**super().of_plugin(options), **self.of_hardware(options)}

    def of_hardware(self, options: dict[str, Any]) -> dict[str, Any]:
        """Returns the nodes, tasks, cores and accelerators that the runs need. Raises UserError for
        an option that contradicts them."""
        from jepa_lab.errors import UserError

        hardware = self.config.get("hardware") or {}
        devices, threads = hardware.get("devices", 1), hardware.get("threads")
        needs = {
            "nodes": ("hardware.nodes", hardware.get("nodes", 1)),
            "tasks_per_node": ("hardware.devices", devices),
            "cpus_per_task": ("hardware.threads", threads or CORES),
            "gpus_per_node": (
                "hardware.devices",
                None if hardware.get("accelerator") == "cpu" else devices,
            ),
        }
        found = dict(options)
        for name, (key, value) in needs.items():
            if found.get(name) is None:
                found[name] = value
            more = name in ("cpus_per_task", "gpus_per_node") and (found[name] or 0) > (value or 0)
            if found[name] != value and not more:
                raise UserError(f"hydra.launcher.{name}={found[name]}: {key}={value} needs {value}")
        return {name: found[name] for name in needs}
