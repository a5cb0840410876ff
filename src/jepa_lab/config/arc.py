"""The configuration of an ARC JEPA: what its runs have of their own, beside what all runs share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from jepa_lab.config.arc_dataset import ArcDatasetConfig
from jepa_lab.config.arc_loss import ArcLossConfig
from jepa_lab.config.arc_model import ArcModelConfig, VQConfig
from jepa_lab.config.gates import GatesConfig
from jepa_lab.config.ranges import at_least, one_of
from jepa_lab.config.schema import (
    DiagnosisConfig,
    HardwareConfig,
    LoggerConfig,
    MonitorConfig,
    NamedConfig,
    OptimConfig,
    PrecisionConfig,
    TargetConfig,
    validate_run,
)
from jepa_lab.config.sweep import CHOOSING_OF_ARC, SweepConfig


@dataclass
class EarlyStopConfig:
    patience: int | None = None  # validations without a better primary loss; null: never
    min_delta: float = 0.0  # what counts as better

    def validate(self) -> None:
        at_least("early_stop.patience", self.patience, 1)
        at_least("early_stop.min_delta", self.min_delta, 0.0)


@dataclass
class ArcConfig:
    study: str = MISSING
    name: str = MISSING
    seed: int = MISSING
    runs_dir: str = MISSING
    on_existing: str = MISSING
    preflight: str = "warn"
    max_wall_s: float | None = None
    tier: NamedConfig = field(default_factory=NamedConfig)
    expected: dict[str, Any] = field(default_factory=dict)  # dataset -> tier -> key -> text, shown beside the result
    model: ArcModelConfig = field(default_factory=ArcModelConfig)
    vq: VQConfig = field(default_factory=VQConfig)
    loss: ArcLossConfig = field(default_factory=ArcLossConfig)
    aux: dict[str, Any] = field(default_factory=dict)  # arm -> its keys; checked, the options that its loss reads
    target: TargetConfig = field(default_factory=TargetConfig)
    dataset: ArcDatasetConfig = field(default_factory=ArcDatasetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    early_stop: EarlyStopConfig = field(default_factory=EarlyStopConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    experiment_gates: dict[str, Any] = field(default_factory=dict)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def validate(self) -> None:
        """ValueError for the first key that is out of range or contradicts another."""
        validate_run(self)
        d, published = self.dataset, self.dataset.slot_features == "published" and self.dataset.tokeniser == "slots"
        if self.loss.invariance.form == "published" and self.loss.invariance.weights() and not published:
            raise ValueError(
                "loss.invariance.form=published needs dataset.slot_features=published: it moves those numbers"
            )
        if d.problem == "copies" and self.model.roles:
            raise ValueError("model.roles=true: copies of one grid have no roles; give model.roles=false")
        one_of("monitor.best", self.monitor.best, CHOOSING_OF_ARC)
        if self.aux:
            from jepa_lab.config.auxiliary import checked_arc_arms  # here: it imports torch

            self.aux = checked_arc_arms(self.aux, self.loss.sigreg.weight)
        self._refuse_what_is_of_images()

    def _refuse_what_is_of_images(self) -> None:
        """Nothing here would read these keys: they keep the value that they have everywhere."""
        for group, key in OF_IMAGES:
            part = getattr(self, group)
            value = getattr(part, key)
            if value != getattr(type(part), key):  # the default
                given = f"{group}.{key}={str(value).lower()}"
                raise ValueError(f"{given}: of the models of images; the ARC JEPA has no use for it")
        if self.target.bn_buffers == "own_running":
            raise ValueError("target.bn_buffers=own_running: of the public seq-JEPA; here averaged or copied")


OF_IMAGES = (
    *(("monitor", key) for key in ("subspace", "sweep_anchors", "sweep_every", "rollout_steps")),
    *(("hardware", key) for key in ("channels_last", "compile")),
)
