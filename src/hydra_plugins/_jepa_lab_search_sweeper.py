"""Hydra sweeper `search`: an ask-and-tell loop around Optuna that resumes where it was interrupted.

If Hydra's own Optuna plugin is installed, `hydra/sweeper=optuna` stays unchanged. That plugin needs
Optuna 2 (of 2022), whose file storage does not work with current SQLAlchemy. Without a storage the
plugin loses its trials when it is interrupted. With a storage it runs the full number of trials
again at every start.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

OPTION = {
    "_target_": f"{__name__}.SearchSweeper",
    "n_trials": 20,
    "direction": "maximize",
    "n_jobs": None,  # trials proposed together; null: enough to fill the launcher's parallel jobs
    "startup_trials": 5,  # trials drawn at random before the sampler takes over
    "sampler_seed": 0,
    "max_batch_size": None,
    "params": {},
}
PLUGIN = "hydra_plugins.hydra_optuna_sweeper"


def options() -> dict[str, dict[str, Any]]:
    """Returns the options of `hydra/sweeper` for this sweeper: `search`, and its alias `optuna` if
    Hydra's own plugin is not installed."""
    names = ("search", "optuna") if find_spec(PLUGIN) is None else ("search",)
    return dict.fromkeys(names, OPTION)


class SearchSweeper(BasicSweeper):
    """Runs all values of `seed` in every trial. Searches every other key that has an interval or
    several values."""

    def __init__(
        self,
        n_trials: int,
        direction: str,
        n_jobs: int | None,
        startup_trials: int,
        sampler_seed: int,
        max_batch_size: int | None,
        params: DictConfig | None,
    ) -> None:
        super().__init__(max_batch_size=max_batch_size, params=dict(params or {}))
        self.trials, self.direction, self.n_jobs = n_trials, direction, n_jobs
        self.startup, self.sampler = startup_trials, sampler_seed

    def sweep(self, arguments: list[str]) -> Any:
        from jepa_lab.sweep.composition import compose_jobs
        from jepa_lab.sweep.jobs import check_sweep
        from jepa_lab.sweep.records import RunningSweep, begin_sweep, command_of
        from jepa_lab.sweep.search import Plan, run_search
        from jepa_lab.sweep.space import read_space

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        self.check_options()
        context, master, launcher = self.hydra_context, self.config, self.launcher
        parser = OverridesParser.create(config_loader=context.config_loader)
        space = read_space(parser.parse_overrides([*self._parse_config(), *arguments]))
        jobs = compose_jobs(context, master, space.outermost())
        check_sweep(jobs, master)
        if getattr(launcher, "only_looks", False):
            return launcher.launch(space.outermost(), initial_job_idx=0)

        command = command_of(getattr(launcher, "task_function", None))
        if command is not None:
            command.sweep = RunningSweep.of(master)

        def launch(jobs: Sequence[Sequence[str]], first: int) -> None:
            launcher.launch([list(job) for job in jobs], initial_job_idx=first)

        sweep_dir = begin_sweep(master)
        at_once = self.n_jobs or -(-(getattr(launcher, "at_once", None) or 1) // len(space.seeds))
        plan = Plan(
            space,
            jobs[0].sweep.objective,
            self.direction,
            self.trials,
            at_once,
            self.sampler,
            self.startup,
        )
        return run_search(plan, sweep_dir, launch, anew=jobs[0].on_existing == "restart")

    def check_options(self) -> None:
        """Raises UserError for an invalid option."""
        from jepa_lab.errors import UserError

        for key, value in (
            ("n_trials", self.trials),
            ("n_jobs", self.n_jobs),
            ("startup_trials", self.startup),
        ):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UserError(f"hydra.sweeper.{key}={value}: expected a whole number from 1")
        if self.direction not in ("maximize", "minimize"):
            raise UserError(
                f"hydra.sweeper.direction={self.direction}: expected maximize or minimize"
            )
