"""A Lightning Trainer for a run that is one process on one device, whatever the environment
says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment


class OneProcessTrainer(pl.Trainer):
    """A Trainer that is rank 0 of 1. Takes the options of Lightning's Trainer.

    Slurm, LSF, MPI and torchrun number the processes that they start. Lightning reads these
    variables as ranks of one distributed run, but every process here trains runs of its own.
    Options in variables `PL_TRAINER_<OPTION>` have no effect either: Lightning derives their names
    from the name of the class. All settings of a run are in its configuration.
    """

    def __init__(self, plugins: Sequence[Any] = (), **options: Any) -> None:
        super().__init__(plugins=[rank_zero(), *plugins], **options)


def rank_zero(rank: int = 0) -> LightningEnvironment:
    """Makes this process rank 0 for Lightning's loggers and messages, or another `rank`, and
    returns the environment that says so to a Trainer.

    Lightning takes the rank from variables of schedulers when it is imported. On another rank than
    0 its loggers drop everything.
    """
    environment = LightningEnvironment()
    environment.set_global_rank(rank)  # also sets rank_zero_only.rank of the process
    return environment
