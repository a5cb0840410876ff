"""The place of this process among the processes that train a run together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.strategies import DDPStrategy

from jepa_lab.config.run_config import RunConfig
from jepa_lab.config.schema import HardwareConfig
from jepa_lab.errors import UserError
from jepa_lab.process.ranks import IN_A_STEP
from jepa_lab.training.accelerator import accelerator_of


@dataclass(frozen=True)
class Place:
    """Process number `rank` of `devices` times `nodes`. `launcher` is the environment that started
    all of them. If it is None, process 0 starts the others, which meet it at `port`."""

    rank: int = 0
    devices: int = 1
    nodes: int = 1
    launcher: ClusterEnvironment | None = None
    port: int | None = None

    @property
    def world(self) -> int:
        """The number of processes."""
        return self.devices * self.nodes

    @property
    def first(self) -> bool:
        """Whether this process owns the run's folder and decides for all."""
        return self.rank == 0

    @property
    def local_rank(self) -> int:
        """The number of the process on its node, and of its device."""
        return self.rank if self.launcher is None else self.launcher.local_rank()

    def trainer_options(self, hardware: HardwareConfig, unread: bool = False) -> dict[str, Any]:
        """Returns the options of Lightning's Trainer for the processes and their devices. `unread`
        is true if the loss leaves some parameters without a gradient."""
        if self.world == 1:
            return {"accelerator": hardware.accelerator, "devices": 1}
        return {
            "accelerator": "cpu" if accelerator_of(hardware) is None else "gpu",
            "devices": self.devices,
            "num_nodes": self.nodes,
            # buffers are equal wherever statistics are those of the whole batch
            "strategy": DDPStrategy(
                broadcast_buffers=hardware.sync_batchnorm is False, find_unused_parameters=unread
            ),
        }


class ManyProcessTrainer(pl.Trainer):
    """A Trainer of one of several processes. Variables `PL_TRAINER_<OPTION>` have no effect:
    Lightning derives their names from the name of the class."""

    def __init__(self, place: Place, plugins: list[Any], **options: Any) -> None:
        super().__init__(plugins=[place.launcher or LightningEnvironment(), *plugins], **options)


def place_of(config: RunConfig) -> Place:
    """Returns the place of this process.

    A run on one device is one process, whatever started it. Raises UserError if a launcher has
    started another number of processes than the configuration has, if there are several nodes but
    no launcher, and for fewer devices than configured.
    """
    hardware = config.hardware
    if hardware.processes == 1:
        return Place()
    given = f"hardware.devices={hardware.devices} hardware.nodes={hardware.nodes}"
    gpus = accelerator_of(hardware) is not None
    if gpus and torch.cuda.device_count() < hardware.devices:
        raise UserError(f"{given}: torch sees {torch.cuda.device_count()} devices on this node")
    try:
        launcher = launcher_of_this_process()
    except RuntimeError:  # Lightning wants to know the tasks of each node
        raise UserError(f"{given}: give srun --ntasks-per-node={hardware.devices}") from None
    if launcher is None or launcher.world_size() == 1:
        if hardware.nodes > 1:
            raise UserError(f"{given}: start the processes of several nodes by srun or torchrun")
        return Place(0, hardware.devices)
    if launcher.world_size() != hardware.processes:
        name = type(launcher).__name__.removesuffix("Environment")
        raise UserError(
            f"{given}: {hardware.processes} processes, but {name} started {launcher.world_size()}"
        )
    return Place(launcher.global_rank(), hardware.devices, hardware.nodes, launcher)


def launcher_of_this_process() -> ClusterEnvironment | None:
    """Returns the environment that started this process beside others, None without one. torchrun
    may run inside a job of Slurm. Slurm starts tasks by srun: a script of sbatch is one process."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if IN_A_STEP in os.environ and SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)
    return None
