"""Hydra sweeper of the comparison of auxiliary losses: one sweep in two stages, where the second
stage depends on the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

node = {
    "_target_": "hydra_plugins.jepa_lab_sweeper.AuxComparisonSweeper",
    "max_batch_size": None,
    "params": {"aux": "none", "seed": "0"},
}
ConfigStore.instance().store(
    group="hydra/sweeper", name="aux_comparison", node=node, provider="jepa_lab"
)


class AuxComparisonSweeper(BasicSweeper):
    """Compares the values of `aux` on all values of `seed`. Runs that choose the weights come
    first."""

    def sweep(self, arguments: list[str]) -> Any:
        from jepa_lab.sweep.jobs import compose_jobs
        from jepa_lab.sweep.sweep_line import read_line
        from jepa_lab.sweep.tuned_comparison import check_stages, plan_stages, run_stages

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        context, master, launcher = self.hydra_context, self.config, self.launcher
        parser = OverridesParser.create(config_loader=context.config_loader)
        line = read_line(parser.parse_overrides([*self._parse_config(), *arguments]))

        def compose(jobs: Sequence[Sequence[str]]) -> list[DictConfig]:
            return compose_jobs(context, master, jobs)

        def launch(jobs: Sequence[Sequence[str]], first: int) -> None:
            for done in launcher.launch([list(job) for job in jobs], initial_job_idx=first):
                _ = done.return_value  # raises what the job raised

        stages = plan_stages(line, master, compose)
        if getattr(launcher, "only_looks", False):
            return check_stages(stages, launch)
        sweep_dir = Path(master.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(master, sweep_dir / "multirun.yaml")
        return run_stages(stages, launch)
