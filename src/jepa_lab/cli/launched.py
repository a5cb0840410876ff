"""A job whose processes torchrun or srun started. The first one runs it as any job, the others
follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from jepa_lab.config.shared_check import SharedCheck
from jepa_lab.errors import UserError
from jepa_lab.process.ranks import ProcessLost, launched, numeric_ranks
from jepa_lab.process.stop import StopRequest
from jepa_lab.sweep.ladder import checked_rungs


def is_follower(cfg: DictConfig) -> bool:
    """Returns whether another process than this one is the first of the job's run."""
    hardware = cfg.get("hardware") or {}
    sizes = [hardware.get(name, 1) for name in ("devices", "nodes")]
    return all(isinstance(n, int) for n in sizes) and bool(launched(math.prod(sizes)))


def exit_code_of_follower(cfg: DictConfig, checks: SharedCheck, stop: StopRequest) -> int:
    """Trains the run of a job as one of its processes other than the first, which says everything
    that there is to say."""
    try:
        (config,) = checked_rungs(cfg, checks)
        with numeric_ranks():
            from jepa_lab.studies.run import train

        return int(train(config, stop=stop).state == "failed")
    except ProcessLost:
        return 1
    except (UserError, ValueError):
        return 2


def refuse_several_runs(rungs: Sequence[Any], sweeps: bool) -> None:
    """Raises UserError for several runs in processes that torchrun or srun started for one."""
    if launched(rungs[0].hardware.processes) is not None and (sweeps or len(rungs) > 1):
        what = "a sweep" if sweeps else "tier=ladder"
        raise UserError(
            f"{what} under srun or torchrun: these start one run of several processes; without"
            " them, or with hydra/launcher=submitit_slurm, every run starts its own"
        )
