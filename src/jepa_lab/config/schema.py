"""The dataclasses behind conf/. Defaults live in conf/; here are types, ranges and meanings.

`validate` raises ValueError with the key, the value and what would be right; types and unknown keys are refused by
omegaconf when a configuration is merged into these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


def _one_of(key: str, value: Any, allowed: Iterable[Any]) -> None:
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"{key}={value}: expected one of {', '.join(map(str, allowed))}")


def _at_least(key: str, value: float | None, low: float, exclusive: bool = False) -> None:
    if value is not None and not (value > low if exclusive else value >= low):
        raise ValueError(f"{key}={value}: must be {'above' if exclusive else 'at least'} {low:g}")


def _within(key: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise ValueError(f"{key}={value}: must lie between {low:g} and {high:g}")


@dataclass
class ModelConfig:
    name: str = MISSING  # seq_jepa
    action_dim: int = MISSING  # width P of the action embedding
    depth: int = MISSING  # blocks of the aggregator
    heads: int = MISSING
    ffn_ratio: int = MISSING
    dropout: float = MISSING
    norm_first: bool = MISSING  # pre-norm blocks; the published ones are post-norm
    positions: str = MISSING  # none | learned | sincos
    hidden: int = MISSING  # of the predictor; 0 is a linear predictor
    aggregator: str = MISSING  # transformer | mean

    def validate(self) -> None:
        _one_of("model.name", self.name, ["seq_jepa"])
        _one_of("model.positions", self.positions, ["none", "learned", "sincos"])
        _one_of("model.aggregator", self.aggregator, ["transformer", "mean"])
        for key in ("action_dim", "depth", "heads", "ffn_ratio"):
            _at_least(f"model.{key}", getattr(self, key), 1)
        _at_least("model.hidden", self.hidden, 0)
        _within("model.dropout", self.dropout, 0.0, 0.9)


@dataclass
class EncoderConfig:
    name: str = MISSING
    widths: list[int] = field(default_factory=list)  # of resnet_small

    def validate(self) -> None:
        _one_of("encoder.name", self.name, ["resnet18_cifar", "resnet18_imagenet", "resnet_small", "pixels"])


@dataclass
class TargetConfig:
    name: str = MISSING  # ema | stopgrad | shared
    tau: float | None = None  # null: from memory
    memory: float = 0.05  # 1 / (1 - tau) as a share of the run's steps
    schedule: str = "constant"  # constant | cosine (to 1)

    def validate(self) -> None:
        _one_of("target.name", self.name, ["ema", "stopgrad", "shared"])
        _one_of("target.schedule", self.schedule, ["constant", "cosine"])
        _within("target.tau", self.tau, 0.0, 1.0)
        _within("target.memory", self.memory, 0.0, 1.0)


@dataclass
class LossConfig:
    lambda_rate: float = MISSING  # weight of -R
    alpha: Any = 1.0  # a number, or auto = d / eps^2 of unit rows, eps .5
    rate_target: str = MISSING  # z_agg | z | both
    rate_normalise: str = MISSING  # none | rows | trace
    rate_center: bool = MISSING
    supervised: float = 0.0  # weight of a cross-entropy on z_agg: the ceiling, not a self-supervised method
    prediction: float = 1.0  # weight of the prediction loss

    def validate(self) -> None:
        _at_least("loss.lambda_rate", self.lambda_rate, 0.0)
        _at_least("loss.supervised", self.supervised, 0.0)
        _at_least("loss.prediction", self.prediction, 0.0)
        if self.alpha != "auto":
            if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)):
                raise ValueError(f"loss.alpha={self.alpha}: a number above 0, or auto")
            _at_least("loss.alpha", self.alpha, 0.0, exclusive=True)
            self.alpha = float(self.alpha)
        _one_of("loss.rate_target", self.rate_target, ["z_agg", "z", "both"])
        _one_of("loss.rate_normalise", self.rate_normalise, ["none", "rows", "trace"])


@dataclass
class TierBudget:
    batch_size: int = MISSING
    epochs: int = MISSING
    train_size: int | None = None  # null: every image
    val_size: int | None = None


@dataclass
class DatasetConfig:
    name: str = MISSING
    source: str = MISSING  # digits | mnist | cifar10 | cifar100 | npz | folder
    views: str = MISSING  # rotation | affine
    tiers: dict[str, TierBudget] = field(default_factory=dict)
    batch_size: int = MISSING
    epochs: int = MISSING
    train_size: int | None = None
    val_size: int | None = None
    root: str | None = None
    path: str | None = None
    image_size: int | None = None
    n_views: int = 4  # V = M + 1
    seq_len: int | None = None  # M, the other way to say it
    action_code: str | None = None  # rotation: sincos | one_hot
    first_view: str = "reference"  # reference | random
    mode: str | None = None  # affine: multi | rot_only | trans_only | scale_only
    rotation: list[float] | None = None  # affine: degrees, lowest and highest
    translation: list[int] | None = None  # affine: pixels, lowest and highest
    scale: list[float] | None = None
    scale_law: str | None = None  # log_uniform | uniform
    interpolation: str | None = None  # bilinear | nearest
    padding: str | None = None  # zeros | reflection | border

    def validate(self) -> None:
        _one_of("dataset.source", self.source, ["digits", "mnist", "cifar10", "cifar100", "npz", "folder"])
        _one_of("dataset.views", self.views, ["rotation", "affine"])
        _one_of("dataset.first_view", self.first_view, ["reference", "random"])
        if self.seq_len is not None:
            if self.n_views not in (4, self.seq_len + 1):
                both = f"dataset.seq_len={self.seq_len} and dataset.n_views={self.n_views}"
                raise ValueError(f"{both} contradict: n_views = seq_len + 1")
            self.n_views = self.seq_len + 1
        _at_least("dataset.n_views", self.n_views, 2)
        _at_least("dataset.batch_size", self.batch_size, 2)
        _at_least("dataset.epochs", self.epochs, 1)
        for key in ("train_size", "val_size"):
            _at_least(f"dataset.{key}", getattr(self, key), 2)
        _at_least("dataset.image_size", self.image_size, 4)
        if self.source == "npz" and not self.path:
            raise ValueError("dataset.path is missing: the .npz file with the images")
        if self.source == "folder" and not self.root:
            raise ValueError("dataset.root is missing: the folder with the images")

    def view_options(self) -> dict[str, Any]:
        """The options of the view group that were given."""
        keys = ("action_code", "mode", "rotation", "translation", "scale", "scale_law", "interpolation", "padding")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


@dataclass
class OptimConfig:
    name: str = MISSING  # adamw | adam
    lr: float = MISSING
    weight_decay: float = MISSING
    schedule: str = MISSING  # cosine | constant
    warmup: float = MISSING  # share of the steps
    lr_min: float = MISSING  # share of lr at the end of the cosine
    clip: float | None = None  # norm of the gradient
    accumulate: int = 1

    def validate(self) -> None:
        _one_of("optim.name", self.name, ["adamw", "adam"])
        _one_of("optim.schedule", self.schedule, ["cosine", "constant"])
        _at_least("optim.lr", self.lr, 0.0)
        _at_least("optim.weight_decay", self.weight_decay, 0.0)
        _within("optim.warmup", self.warmup, 0.0, 1.0)
        _within("optim.lr_min", self.lr_min, 0.0, 1.0)
        _at_least("optim.clip", self.clip, 0.0, exclusive=True)
        _at_least("optim.accumulate", self.accumulate, 1)


@dataclass
class HardwareConfig:
    name: str = MISSING
    accelerator: str = "auto"
    devices: int = 1
    threads: int | None = None  # null: the cores this process may use, written down
    channels_last: bool = True
    compile: bool = False

    def validate(self) -> None:
        _one_of("hardware.accelerator", self.accelerator, ["auto", "cpu", "gpu"])
        _at_least("hardware.threads", self.threads, 1)
        _within("hardware.devices", self.devices, 1, 1)


@dataclass
class ProbesConfig:
    lr: float = MISSING
    weight_decay: float = MISSING
    hidden: int = MISSING  # of the action probes (two-layer MLPs, all of this width)

    def validate(self) -> None:
        _at_least("probes.lr", self.lr, 0.0, exclusive=True)
        _at_least("probes.weight_decay", self.weight_decay, 0.0)
        _at_least("probes.hidden", self.hidden, 1)


@dataclass
class MonitorConfig:
    every_epochs: int | None = None  # null: about twenty validations a run
    log_every: int = 10  # optimiser steps between two training rows
    best: str = (
        "auto"  # the key that chooses checkpoints/best.ckpt; auto: class_from_z_agg, or without labels the action probe
    )

    save_every_s: float = 60.0
    subspace: bool = False

    def validate(self) -> None:
        _at_least("monitor.save_every_s", self.save_every_s, 0.0)
        _at_least("monitor.every_epochs", self.every_epochs, 1)
        _at_least("monitor.log_every", self.log_every, 1)


@dataclass
class DiagnosisConfig:
    on_nan: str = "stop"  # stop | skip

    def validate(self) -> None:
        _one_of("diagnosis.on_nan", self.on_nan, ["stop", "skip"])


@dataclass
class SweepConfig:
    fail_fast: bool = False


@dataclass
class NamedConfig:
    name: str = MISSING


@dataclass
class RecipeConfig:
    name: str = MISSING
    lambda_rate: float = MISSING  # the weight that experiments with a rate term take


@dataclass
class PrecisionConfig:
    name: str = MISSING  # fp32 | bf16

    def validate(self) -> None:
        _one_of("precision.name", self.name, ["fp32", "bf16"])


@dataclass
class LoggerConfig:
    name: str = MISSING  # none | wandb | tensorboard | csv
    project: str = "jepa-lab"
    offline: bool = True

    def validate(self) -> None:
        _one_of("logger.name", self.name, ["none", "wandb", "tensorboard", "csv"])


@dataclass
class Config:
    name: str = MISSING
    seed: int = MISSING
    runs_dir: str = MISSING
    on_existing: str = MISSING
    max_wall_s: float | None = None
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    tier: NamedConfig = field(default_factory=NamedConfig)
    expected: dict[str, Any] = field(default_factory=dict)  # recipe -> dataset -> key -> text, shown beside the result
    model: ModelConfig = field(default_factory=ModelConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def validate(self) -> None:
        for part in vars(self).values():
            if part is not self and hasattr(part, "validate"):
                part.validate()
        _at_least("seed", self.seed, 0)
        _at_least("max_wall_s", self.max_wall_s, 0.0, exclusive=True)
        _one_of("on_existing", self.on_existing, ["resume", "restart", "error"])
