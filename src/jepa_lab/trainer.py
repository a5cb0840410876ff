"""The Lightning Trainer of a run: our ledger always, one more logger on request, and no noise."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from jepa_lab.build import Budget
from jepa_lab.callbacks import WholeFiles
from jepa_lab.config import ArcConfig, Config
from jepa_lab.ledger import ParquetLedger, RunDir
from jepa_lab.ledger.logger import ParquetLogger


def build_trainer(
    config: Config | ArcConfig, budget: Budget, run: RunDir, ledger: ParquetLedger, callbacks: list[Any]
) -> pl.Trainer:
    """The Lightning Trainer of the run: our ledger always, one more logger on request."""
    loggers: list[Any] = [ParquetLogger(ledger, config.name, run.run_id)]
    if config.logger.name == "wandb":
        from jepa_lab.wandb_run import build_wandb_logger

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
