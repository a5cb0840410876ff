"""The W&B run of a run: one each, offline unless asked otherwise, in the group of its sweep, with an id that a resume
finds again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from jepa_lab.config import ArcConfig, Config, to_yaml
from jepa_lab.errors import UserError
from jepa_lab.ledger.run_dir import RunDir

_open: list[Any] = []  # of this process: those that build_wandb_logger began and close_loggers has not ended


def settings(config: Config | ArcConfig, run: RunDir, group: str | None) -> dict[str, Any]:
    """What wandb.init is told. A run that goes on has the id that it had: offline it writes another part into its
    folder, and `wandb sync` joins the parts."""
    disabled = os.environ.get("WANDB_MODE") == "disabled"  # the user's wish for the whole machine
    return {
        "name": f"{config.name}-{run.run_id}",
        "id": run.run_id,
        "project": config.logger.project,
        "group": group,
        "job_type": "+".join(getattr(config, "aux", {})) or config.name,
        "dir": str(run.path.absolute()),  # its service is a process that may have begun in another folder
        "mode": "disabled" if disabled else "offline" if config.logger.offline else "online",
        "resume": None if config.logger.offline else "allow",
        "config": yaml.safe_load(to_yaml(config)),
        "reinit": "create_new",  # a run that the caller has open stays the caller's
    }


def sweep_name() -> str | None:
    """The folder's name of the sweep that the job belongs to; None outside of one."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def build_wandb_logger(config: Config | ArcConfig, run: RunDir) -> Any:
    """Lightning's logger on a W&B run of its own. UserError where an account is asked for and there is none."""
    import wandb
    from pytorch_lightning.loggers import WandbLogger
    from pytorch_lightning.utilities import rank_zero_only

    if getattr(rank_zero_only, "rank", 0) != 0:
        return WandbLogger(save_dir=run.path)  # logs nothing there
    try:
        experiment = wandb.init(**settings(config, run, sweep_name()))
    except (wandb.errors.UsageError, wandb.errors.CommError) as error:
        text = str(error).strip().split("\n", 1)[0]
        raise UserError(f"logger.offline={str(config.logger.offline).lower()}: W&B says: {text}") from None
    _open.append(experiment)
    experiment.define_metric("trainer/global_step")
    experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(experiment=experiment, save_dir=run.path)


def close_loggers(failed: bool) -> None:
    """Ends the W&B run of this job, if there is one, with the state it deserves; no other one is touched."""
    while _open:
        _open.pop().finish(exit_code=int(failed))
