"""The Lightning Trainer of a run, without Lightning's own messages."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import pytorch_lightning as pl
import torch

from jepa_lab.callbacks.checkpoints import WholeFiles
from jepa_lab.config.check import available_cores
from jepa_lab.config.run_config import JepaConfig, RunConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.training.accelerator import set_accelerator
from jepa_lab.training.budget import Budget
from jepa_lab.training.one_process import OneProcessTrainer, rank_zero
from jepa_lab.training.place import ManyProcessTrainer, Place

ALONE = Place()
MOST_THREADS = 1024  # of a machine with fewer cores; torch aborts where a thread cannot be started


def build_trainer(
    config: JepaConfig,
    budget: Budget,
    run: RunDir,
    loggers: list[Any],
    callbacks: list[Any],
    place: Place = ALONE,
    unread: bool = False,
    **others: Any,
) -> pl.Trainer:
    """Returns the Lightning Trainer of the run, of one process or of this one of several. `unread`
    is true if the loss leaves parameters without a gradient, which several processes must know.
    `others` are options of the Trainer that replace those of the run."""
    options: dict[str, Any] = {
        **place.trainer_options(config.hardware, unread),
        "precision": "bf16-mixed" if config.precision.name == "bf16" else "32-true",
        "max_epochs": config.dataset.epochs,
        "accumulate_grad_batches": config.optim.accumulate,
        "check_val_every_n_epoch": budget.validate_every,
        "num_sanity_val_steps": 0,
        "logger": loggers,
        "callbacks": callbacks,
        "enable_progress_bar": sys.stderr.isatty() and place.first,
        "enable_model_summary": False,
        "enable_checkpointing": True,
        "log_every_n_steps": config.monitor.log_every,
        "default_root_dir": run.path,
        "use_distributed_sampler": False,
        "plugins": [WholeFiles()],
    }
    if place.world > 1:
        return ManyProcessTrainer(place, **{**options, **others})
    return OneProcessTrainer(**{**options, **others})


def prepare_process(config: RunConfig, threads: int, place: Place = ALONE) -> None:
    """Sets the number of threads and the rank of the process, and silences messages that need no
    action. Raises UserError for a missing accelerator, and for more threads than can be started.

    Processes that one of them has started share its cores.
    """
    quiet()
    rank_zero(place.rank)
    if place.world > 1 and place.launcher is None:
        threads = max(1, min(threads, available_cores() // place.devices))
    most = max(MOST_THREADS, available_cores())
    if threads > most:
        raise UserError(f"hardware.threads={threads}: must be at most {most} on this machine")
    torch.set_num_threads(threads)
    set_accelerator(config.hardware)
    if config.hardware.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError(
            "hardware.accelerator=gpu: no accelerator is visible to torch; use hardware=auto or cpu"
        )


def quiet() -> None:
    """Silences messages and warnings of Lightning that need no action by the user."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*in eval mode at the start.*",
        ".*LeafSpec.*",
        ".*srun.*",
        ".*smaller than the logging interval.*",
        ".*`broadcast_buffers` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message=text)
