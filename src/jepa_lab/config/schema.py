"""The dataclasses behind conf/: types, ranges and meanings. Defaults are in conf/. `validate`
raises ValueError with the key, the value and the allowed values. omegaconf rejects wrong types and
unknown keys when a configuration is merged into these classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from jepa_lab.config.ranges import at_least, one_of, unset, within
from jepa_lab.config.statuses import FAILURES


@dataclass
class TargetConfig:
    name: str = MISSING  # ema | stopgrad | shared
    tau: float | None = None  # null: derived from memory
    memory: float = 0.05  # 1 / (1 - tau) as a share of the run's steps
    schedule: str = "constant"  # constant | cosine (to 1)
    # buffers of the target's batch norm: averaged | copied | own_running, see networks/ema.py
    bn_buffers: str = "averaged"

    def validate(self) -> None:
        one_of("target.name", self.name, ["ema", "stopgrad", "shared"])
        one_of("target.schedule", self.schedule, ["constant", "cosine"])
        one_of("target.bn_buffers", self.bn_buffers, ["averaged", "copied", "own_running"])
        if self.bn_buffers == "copied" and self.name != "ema":
            raise ValueError(
                f"target.bn_buffers=copied: target={self.name} has no second set of buffers"
            )
        if self.name != "ema":
            unset("target.tau", self.tau, "only target=ema has it")
        within("target.tau", self.tau, 0.0, 1.0)
        within("target.memory", self.memory, 0.0, 1.0)


@dataclass
class OptimConfig:
    name: str = MISSING  # adamw | adam
    lr: float = MISSING
    weight_decay: float = MISSING
    schedule: str = MISSING  # cosine | constant
    warmup: float = MISSING  # share of the steps
    warmup_epochs: float | None = None  # if given, warmup is derived from it
    lr_min: float = MISSING  # share of lr at the end of the cosine
    clip: float | None = None  # largest gradient norm; null: no clipping
    accumulate: int = 1

    def validate(self) -> None:
        one_of("optim.name", self.name, ["adamw", "adam"])
        one_of("optim.schedule", self.schedule, ["cosine", "constant"])
        at_least("optim.lr", self.lr, 0.0)
        at_least("optim.weight_decay", self.weight_decay, 0.0)
        at_least("optim.warmup_epochs", self.warmup_epochs, 0.0)
        within("optim.warmup", self.warmup, 0.0, 1.0 if self.warmup_epochs is None else math.inf)
        within("optim.lr_min", self.lr_min, 0.0, 1.0)
        at_least("optim.clip", self.clip, 0.0, exclusive=True)
        at_least("optim.accumulate", self.accumulate, 1)


@dataclass
class HardwareConfig:
    name: str = MISSING
    accelerator: str = "auto"
    devices: int = 1  # processes of each node, each with a device of its own
    nodes: int = 1
    threads: int | None = None  # null: the cores that this process may use, filled in
    # batch norm over the rows of all processes; null: with several processes
    sync_batchnorm: bool | None = None
    channels_last: bool = True
    compile: bool = False
    # float32 products in TF32: off | convolutions | all (matrix products of networks and losses)
    tf32: str = "convolutions"
    cudnn_benchmark: bool = True

    def validate(self) -> None:
        self.tf32 = "off" if self.tf32 == "False" else self.tf32  # YAML reads off as false
        one_of("hardware.tf32", self.tf32, ["off", "convolutions", "all"])
        one_of("hardware.accelerator", self.accelerator, ["auto", "cpu", "gpu"])
        at_least("hardware.threads", self.threads, 1)
        at_least("hardware.devices", self.devices, 1)
        at_least("hardware.nodes", self.nodes, 1)

    @property
    def processes(self) -> int:
        """The number of processes that train a run together."""
        return self.devices * self.nodes


@dataclass
class MonitorConfig:
    every_epochs: int | None = None  # null: about twenty validations a run
    log_every: int = 10  # optimiser steps between two training rows
    # optimiser steps between two measurements of every term's gradient; null: never
    gradients_every: int | None = 50
    # optimiser steps between two measurements of a training batch's features; null: never
    features_every: int | None = 50
    # the metric that chooses checkpoints/best.ckpt; auto: class_from_z_agg, or without labels the
    # action probe
    best: str = "auto"
    save_every_s: float = 60.0
    ring: int = 8  # states of validations from which a branch can start; 0: none
    ring_mb: float = 256.0  # megabytes that these states may take
    subspace: bool = False
    sweep_anchors: int = 64  # validation images in the factor sweeps; 0: no factor sweeps
    # validations between two factor sweeps; null: after training only
    sweep_every: int | None = None
    # after training: views that are predicted one after another; 0: none
    rollout_steps: int = 3
    metrics: dict[str, Any] = field(default_factory=dict)  # user-defined, by name

    def validate(self) -> None:
        at_least("monitor.save_every_s", self.save_every_s, 0.0)
        at_least("monitor.ring", self.ring, 0)
        at_least("monitor.ring_mb", self.ring_mb, 0.0)
        at_least("monitor.every_epochs", self.every_epochs, 1)
        at_least("monitor.log_every", self.log_every, 1)
        at_least("monitor.sweep_anchors", self.sweep_anchors, 0)
        at_least("monitor.sweep_every", self.sweep_every, 1)
        at_least("monitor.gradients_every", self.gradients_every, 1)
        at_least("monitor.features_every", self.features_every, 1)
        at_least("monitor.rollout_steps", self.rollout_steps, 0)


@dataclass
class BranchConfig:
    """The origin of a run that `jepa_lab.branch` made; empty for any other run."""

    parent: str | None = None  # id of the run that it continues
    step: int | None = None  # the step from which it continues

    def validate(self) -> None:
        if (self.parent is None) != (self.step is None):
            raise ValueError("branch.parent and branch.step belong together")
        at_least("branch.step", self.step, 1)


@dataclass
class DiagnosisConfig:
    on_nan: str = "stop"  # stop | skip
    # statuses that end the run after two validations in a row
    stop_on: list[str] = field(default_factory=list)
    rules: dict[str, Any] = field(default_factory=dict)  # user-defined, by name

    def validate(self) -> None:
        one_of("diagnosis.on_nan", self.on_nan, ["stop", "skip"])
        for status in self.stop_on:
            if status not in FAILURES:
                given = ",".join(self.stop_on)
                raise ValueError(
                    f"diagnosis.stop_on=[{given}]: {status} is none of {', '.join(FAILURES)}"
                )


@dataclass
class NamedConfig:
    name: str = MISSING


@dataclass
class PrecisionConfig:
    name: str = MISSING  # fp32 | bf16

    def validate(self) -> None:
        one_of("precision.name", self.name, ["fp32", "bf16"])


@dataclass
class LoggerConfig:
    name: str = MISSING  # none | wandb | tensorboard | csv
    project: str = "jepa-lab"
    offline: bool = True

    def validate(self) -> None:
        one_of("logger.name", self.name, ["none", "wandb", "tensorboard", "csv"])
