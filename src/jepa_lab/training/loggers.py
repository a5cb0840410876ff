"""The loggers of a run: always the ledger, and optionally one more. Each is closed at the end with
the state of the run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from jepa_lab.config.run_config import JepaConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.csv_logger import ResumableCSVLogger
from jepa_lab.ledger.logger import ParquetLogger
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.run_dir import RunDir


@dataclass
class Loggers:
    """The Lightning loggers of a run. `failed` is set before they are closed."""

    all: list[Any] = field(default_factory=list)
    failed: bool = False

    def log_figures(self, folder: Path) -> None:
        """Sends the figures of the run's folder to the loggers that accept images (W&B)."""
        paths = sorted(folder.glob("*.png"))
        for logger in self.all:
            if paths and hasattr(logger, "log_image"):
                logger.log_image(
                    "figures", [str(path) for path in paths], caption=[path.stem for path in paths]
                )


@contextmanager
def open_loggers(config: JepaConfig, run: RunDir, ledger: ParquetLedger) -> Iterator[Loggers]:
    """Opens the loggers that the configuration selects. A W&B run ends with the context, as failed
    if an exception ended the run."""
    loggers = Loggers([ParquetLogger(ledger, config.name, run.run_id)])
    experiment = None
    if config.logger.name == "wandb":
        experiment = begin_wandb(config, run)
        loggers.all.append(WandbLogger(experiment=experiment, save_dir=run.path))
    elif config.logger.name == "tensorboard":
        loggers.all.append(TensorBoardLogger(run.path, name="", version="tensorboard"))
    elif config.logger.name == "csv":
        loggers.all.insert(0, ResumableCSVLogger(str(run.path), ledger))
    loggers.failed = True  # the run sets it to False on success
    try:
        yield loggers
    finally:
        if experiment is not None:
            experiment.finish(exit_code=int(loggers.failed))


def wandb_settings(config: JepaConfig, run: RunDir, group: str | None) -> dict[str, Any]:
    """Returns the arguments of wandb.init.

    A resumed run has its earlier id. Offline it writes another part into its folder, and `wandb
    sync` joins the parts.
    """
    disabled = os.environ.get("WANDB_MODE") == "disabled"  # the user's setting for the machine
    return {
        "name": f"{config.name}-{run.run_id}",
        "id": run.run_id,
        "project": config.logger.project,
        "group": group,
        "job_type": "+".join(config.aux) or config.name,
        # absolute, since W&B's service process may have started in another folder
        "dir": str(run.path.absolute()),
        "mode": "disabled" if disabled else "offline" if config.logger.offline else "online",
        "resume": None if config.logger.offline else "allow",
        "config": yaml.safe_load(config.to_yaml()),
        "reinit": "create_new",  # leaves a W&B run of the caller open
    }


def sweep_name() -> str | None:
    """Returns the name of the folder of the job's sweep, None outside a sweep."""
    if not HydraConfig.initialized() or HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    return Path(HydraConfig.get().sweep.dir).name


def begin_wandb(config: JepaConfig, run: RunDir) -> Any:
    """Starts a W&B run. Raises UserError if W&B needs an account and there is none."""
    import wandb  # imported here, since the import takes seconds

    try:
        experiment = wandb.init(**wandb_settings(config, run, sweep_name()))
    except (wandb.errors.UsageError, wandb.errors.CommError) as error:
        text = str(error).strip().split("\n", 1)[0]
        raise UserError(
            f"logger.offline={str(config.logger.offline).lower()}: W&B says: {text}"
        ) from None
    experiment.define_metric("trainer/global_step")
    experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return experiment
