"""Hydra sweepers: the basic sweeper with a check of all jobs, and that of the comparison of
auxiliary losses, one sweep in two stages, where the second stage depends on the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig

OPTIONS: dict[str, Any] = {
    # the sweeper without an option, in place of Hydra's own, which writes before jobs are checked
    "basic": BasicSweeperConf(_target_=f"{__name__}.CheckedSweeper"),
    "aux_comparison": {
        "_target_": f"{__name__}.AuxComparisonSweeper",
        "max_batch_size": None,
        "params": {"aux": "none", "seed": "0"},
    },
}


def started(
    sweeper: BasicSweeper, arguments: list[str]
) -> tuple[HydraContext, DictConfig, Launcher, list[Override]]:
    """Returns the context, the configuration and the launcher of a sweep, and its overrides."""
    assert sweeper.config is not None
    assert sweeper.hydra_context is not None
    assert sweeper.launcher is not None
    parser = OverridesParser.create(config_loader=sweeper.hydra_context.config_loader)
    overrides = parser.parse_overrides([*sweeper._parse_config(), *arguments])
    return sweeper.hydra_context, sweeper.config, sweeper.launcher, overrides


class CheckedSweeper(BasicSweeper):
    """Runs every combination of the values, as Hydra's basic sweeper does. All jobs are composed
    and checked before the first file is written."""

    def sweep(self, arguments: list[str]) -> Any:
        from jepa_lab.sweep.composition import compose_jobs
        from jepa_lab.sweep.jobs import check_sweep, require_jobs
        from jepa_lab.sweep.records import begin_sweep

        context, master, launcher, overrides = started(self, arguments)
        require_jobs(overrides, self.max_batch_size)
        batches = self.split_arguments(overrides, self.max_batch_size)
        every = [job for batch in batches for job in batch]
        if getattr(launcher, "only_looks", False):
            batches = [every]
        else:
            check_sweep(compose_jobs(context, master, every), master)
            begin_sweep(master)
        returns, first = [], 0
        for batch in batches:
            done = launcher.launch(batch, initial_job_idx=first)
            for job in done:
                _ = job.return_value  # raises what the job raised
            returns.append(done)
            first += len(batch)
        return returns


class AuxComparisonSweeper(BasicSweeper):
    """Compares the values of `aux` on all values of `seed`. Runs that choose the weights come
    first."""

    def sweep(self, arguments: list[str]) -> Any:
        from jepa_lab.sweep.composition import compose_jobs
        from jepa_lab.sweep.records import begin_sweep
        from jepa_lab.sweep.sweep_line import read_line
        from jepa_lab.sweep.tuned_comparison import check_stages, plan_stages, run_stages

        context, master, launcher, overrides = started(self, arguments)
        line = read_line(overrides)

        def compose(jobs: Sequence[Sequence[str]]) -> list[DictConfig]:
            return compose_jobs(context, master, jobs)

        def launch(jobs: Sequence[Sequence[str]], first: int) -> None:
            for done in launcher.launch([list(job) for job in jobs], initial_job_idx=first):
                _ = done.return_value  # raises what the job raised

        only_looks = getattr(launcher, "only_looks", False)
        stages = plan_stages(line, master, compose, downloads=not only_looks)
        if only_looks:
            return check_stages(stages, launch)
        begin_sweep(master)
        return run_stages(stages, launch)
