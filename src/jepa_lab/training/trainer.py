"""The Lightning Trainer of a run: our ledger always, one more logger on request, and no noise."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from jepa_lab.callbacks.checkpoints import WholeFiles
from jepa_lab.config.check import to_yaml
from jepa_lab.errors import UserError
from jepa_lab.ledger.logger import ParquetLogger
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training.frame import Budget


def build_trainer(
    config: Config | ArcConfig, budget: Budget, run: RunDir, ledger: ParquetLedger, callbacks: list[Any]
) -> pl.Trainer:
    """The Lightning Trainer of the run: our ledger always, one more logger on request."""
    loggers: list[Any] = [ParquetLogger(ledger, config.name, run.run_id)]
    if config.logger.name == "wandb":
        loggers.append(build_wandb_logger(config, run))
    elif config.logger.name == "tensorboard":
        from pytorch_lightning.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(run.path, name="", version="tensorboard"))
    elif config.logger.name == "csv":
        from pytorch_lightning.loggers import CSVLogger

        loggers.append(CSVLogger(run.path, name="", version="csv"))
    return pl.Trainer(
        accelerator=config.hardware.accelerator,
        devices=config.hardware.devices,
        precision="bf16-mixed" if config.precision.name == "bf16" else "32-true",
        max_epochs=config.dataset.epochs,
        accumulate_grad_batches=config.optim.accumulate,
        check_val_every_n_epoch=budget.validate_every,
        num_sanity_val_steps=0,
        logger=loggers,
        callbacks=callbacks,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        enable_checkpointing=True,
        log_every_n_steps=config.monitor.log_every,
        default_root_dir=run.path,
        use_distributed_sampler=False,
        plugins=[WholeFiles()],
    )


def log_figures(loggers: list[Any], folder: Path) -> None:
    """Hands the figures of the run's folder to the loggers that take pictures (W&B)."""
    paths = sorted(folder.glob("*.png"))
    for logger in loggers:
        if paths and hasattr(logger, "log_image"):
            logger.log_image("figures", [str(path) for path in paths], caption=[path.stem for path in paths])


def quiet() -> None:
    """Silences what a user cannot act on."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*in eval mode at the start.*",
        ".*LeafSpec.*",
        ".*srun.*",
        ".*smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message=text)


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
