"""The configuration keys that all studies share: those of every run, and those of every trained
JEPA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import yaml
from omegaconf import MISSING

from jepa_lab.config.extensions import CallbackOptions, MetricOptions, Options, RuleOptions
from jepa_lab.config.gates import GatesConfig, check_experiment_gates
from jepa_lab.config.ranges import at_least, nested, one_of, plain_name
from jepa_lab.config.schema import (
    BranchConfig,
    DiagnosisConfig,
    HardwareConfig,
    LoggerConfig,
    MonitorConfig,
    NamedConfig,
    OptimConfig,
    PrecisionConfig,
    TargetConfig,
)
from jepa_lab.config.sweep import SweepConfig

SWEEPS = "sweeps"  # beside the folders of experiments in runs_dir
MOST_SEED = 2**32 - 1  # numpy's limit
PLAIN = (int, float, bool, type(None))  # types that YAML writes and reads without a change


@dataclass
class RunConfig:
    """The keys of every run. Each study extends this class."""

    study: str = MISSING
    name: str = MISSING
    runs_dir: str = MISSING
    on_existing: str = MISSING
    max_wall_s: float | None = None
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    # groups of conf/ from which every run of the study has an option
    groups: ClassVar[tuple[str, ...]] = ("hardware",)
    title: ClassVar[str] = "model"  # name of the models that its experiments train
    # error message for a group of another study
    lacks: ClassVar[str] = "this study has no such group"
    # keys that accept user-defined options; * stands for any name
    slots: ClassVar[Mapping[str, type[Options]]] = {}
    single_threaded: ClassVar[bool] = False  # torch has one thread, whatever hardware.threads is
    # validation metrics that may choose best.ckpt: higher is better
    choosing: ClassVar[tuple[str, ...]] = ()
    # the study has auxiliary losses, which a comparison can test
    tests_arms: ClassVar[bool] = False
    # the study has reference runs for comparisons: an untrained network and a supervised one
    has_references: ClassVar[bool] = False

    def validate(self) -> None:
        """Raises ValueError for the first key that is out of range or contradicts another. May fill
        in derived values."""
        plain_name("name", self.name)
        if self.name.lower() == SWEEPS:
            raise ValueError(f"name={self.name}: the folder of sweeps in runs_dir; give another")
        for part in vars(self).values():
            if hasattr(part, "validate"):
                part.validate()
        at_least("max_wall_s", self.max_wall_s, 0.0, exclusive=True)
        if not self.runs_dir.strip():
            raise ValueError("runs_dir is empty: the folder where runs are kept")
        one_of("on_existing", self.on_existing, ["resume", "restart", "error"])

    def to_yaml(self) -> str:
        """Returns the configuration as YAML, including all derived values."""
        return yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)

    def counted(self) -> dict[str, Any]:
        """Returns the settings that identify the run, as plain data. The keys in
        jepa_lab.ledger.identity.IGNORED are removed later."""
        content: dict[str, Any] = _as_read(asdict(self))
        # null gives the result of one process, whatever their number; torch's own choice of TF32
        # does not count, as the kind of accelerator does not
        for key, usual in (("sync_batchnorm", None), ("tf32", "convolutions")):
            if content["hardware"][key] == usual:
                del content["hardware"][key]
        return content


def _as_read(value: Any) -> Any:
    """Returns plain data as YAML writes and reads it: a tuple is a list."""
    if isinstance(value, dict):
        return {_as_read(key): _as_read(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_read(inner) for inner in value]
    if type(value) in PLAIN or (type(value) is str and value.isascii() and value.isprintable()):
        return value
    # other texts may change; raises for what YAML cannot write
    return yaml.safe_load(yaml.safe_dump(value, allow_unicode=True))


@dataclass
class JepaConfig(RunConfig):
    """The keys of every run that trains a JEPA."""

    seed: int = MISSING
    preflight: str = "warn"  # warn | strict | off
    figures: str = "auto"  # auto (not in a sweep) | always | never
    keep: str = "weights"  # checkpoints of a completed run: all | weights | best
    tier: NamedConfig = field(default_factory=NamedConfig)
    # selected options (as recipe, data set, tier) -> metric -> text shown beside the result
    expected: dict[str, Any] = field(default_factory=dict)
    dataset: Any = None
    # name -> its keys; after the check, name -> options of the loss
    aux: dict[str, Any] = field(default_factory=dict)
    target: TargetConfig = field(default_factory=TargetConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)
    gates: GatesConfig = field(default_factory=GatesConfig)
    # dataset -> tier -> gate -> limit, which overrides that of the tier
    experiment_gates: dict[str, Any] = field(default_factory=dict)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    branch: BranchConfig = field(default_factory=BranchConfig)
    callbacks: dict[str, Any] = field(default_factory=dict)  # user-defined, by name

    slots: ClassVar[Mapping[str, type[Options]]] = {
        "monitor.metrics.*": MetricOptions,
        "diagnosis.rules.*": RuleOptions,
        "callbacks.*": CallbackOptions,
    }
    tests_arms: ClassVar[bool] = True
    # the options that select an entry of `expected`, from the outside in
    expected_by: ClassVar[tuple[str, ...]] = ("data set", "tier")
    # taps that a metric can measure
    taps: ClassVar[tuple[str, ...]] = ("z", "z_agg", "z_hat", "z_target")

    def validate(self) -> None:
        super().validate()
        for name, metric in self.monitor.metrics.items():
            for tap in metric.taps:
                one_of(f"monitor.metrics.{name}.taps", tap, self.taps)
        if self.optim.warmup_epochs is not None:
            self.optim.warmup = self.optim.warmup_epochs / self.dataset.epochs
        if self.dataset.batch_size < self.hardware.processes:
            raise ValueError(
                f"dataset.batch_size={self.dataset.batch_size}: fewer samples than the"
                f" {self.hardware.processes} processes of hardware.devices={self.hardware.devices}"
                f" hardware.nodes={self.hardware.nodes}, which share a batch"
            )
        nested("expected", self.expected, (*self.expected_by, "metric"))
        check_experiment_gates(self.experiment_gates, str(self.dataset.name))
        at_least("seed", self.seed, 0)
        if self.seed > MOST_SEED:
            raise ValueError(f"seed={self.seed}: must be at most {MOST_SEED}")
        # YAML reads off as false
        self.preflight = "off" if self.preflight == "False" else self.preflight
        one_of("preflight", self.preflight, ["warn", "strict", "off"])
        one_of("figures", self.figures, ["auto", "always", "never"])
        one_of("keep", self.keep, ["all", "weights", "best"])
        one_of("monitor.best", self.monitor.best, ["auto", *self.choosing])
        if self.sweep.report == "aux_comparison":
            one_of("sweep.tuning.metric", self.sweep.tuning.metric, self.choosing)

    def counted(self) -> dict[str, Any]:
        settings = super().counted()
        # the budget is resolved already, and data are identified by their bytes
        of_data = ("root", "path", "saliency_path", "cache", "memory_gb")
        of_hf = ("config_name", "image_column", "label_column")
        for key in ("tiers", "usual_first_view", *of_data, *of_hf):
            settings["dataset"].pop(key, None)
        # if empty, they do not count: runs that are older than these keys keep their identity
        for place, key in (
            (settings, "aux"),
            (settings, "callbacks"),
            (settings["monitor"], "metrics"),
            (settings["diagnosis"], "rules"),
        ):
            if not place[key]:
                del place[key]
        if self.branch.parent is None:
            del settings["branch"]
        rate = settings.get("aux", {}).get("coding_rate", {})
        for key in [key for key, value in rate.items() if value is None]:
            del rate[key]  # runs that are older than these keys keep their identity
        return settings
