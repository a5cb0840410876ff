"""The configuration of a seq-JEPA run, beyond the settings that all runs share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

from jepa_lab.config.auxiliary import checked_aux
from jepa_lab.config.extensions import EncoderOptions, Options, SourceOptions, ViewOptions
from jepa_lab.config.ranges import at_least, one_of, unset, within
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.studies.seq_jepa.dataset_config import DatasetConfig
from jepa_lab.studies.seq_jepa.encoder_config import EncoderConfig


@dataclass
class ProbesConfig:
    lr: float = MISSING
    weight_decay: float = MISSING
    hidden: int = MISSING  # width of the action probes, which are two-layer MLPs
    r2: str = "masked"  # | uniform: a constant dimension counts as 0, as in the public code
    leak_head: str = "matched"  # | linear: a linear action_from_z_agg, as in the public code

    def validate(self) -> None:
        at_least("probes.lr", self.lr, 0.0, exclusive=True)
        at_least("probes.weight_decay", self.weight_decay, 0.0)
        at_least("probes.hidden", self.hidden, 1)
        one_of("probes.r2", self.r2, ["masked", "uniform"])
        one_of("probes.leak_head", self.leak_head, ["matched", "linear"])


@dataclass
class RecipeConfig:
    name: str = MISSING
    lambda_rate: float = MISSING  # weight that experiments with a rate term use


@dataclass
class LossConfig:
    lambda_rate: float = MISSING  # weight of -R
    alpha: Any = 1.0  # a number, or auto = d / eps^2 for rows of norm 1, eps .5
    rate_target: str = MISSING  # z_agg | z | both
    rate_normalise: str = MISSING  # none | rows | trace
    rate_center: bool = MISSING
    rate_form: str = "logdet"  # logdet | simdino | mcr2
    symmetric: bool = False  # also predict the first view from the others
    form: str = "cosine"  # cosine | dino | dino_headless | sharpened
    prototypes: int | None = None  # dino
    head_hidden: int | None = None
    bottleneck: int | None = None
    student_temp: float | None = None  # dino, dino_headless
    teacher_temp_start: float | None = None
    temp_warmup: float | None = None  # share of the steps in which teacher_temp changes
    teacher_temp: float | None = None  # dino, dino_headless, sharpened
    center_decay: float | None = None
    # weight of a cross-entropy on z_agg: the supervised ceiling, not a self-supervised method
    supervised: float = 0.0
    prediction: float = 1.0  # weight of the prediction loss

    def validate(self) -> None:
        at_least("loss.lambda_rate", self.lambda_rate, 0.0)
        at_least("loss.supervised", self.supervised, 0.0)
        at_least("loss.prediction", self.prediction, 0.0)
        if self.alpha != "auto":
            if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)):
                raise ValueError(f"loss.alpha={self.alpha}: a number above 0, or auto")
            at_least("loss.alpha", self.alpha, 0.0, exclusive=True)
            self.alpha = float(self.alpha)
        one_of("loss.rate_target", self.rate_target, ["z_agg", "z", "both"])
        one_of("loss.rate_normalise", self.rate_normalise, ["none", "rows", "trace"])
        self._validate_form()
        one_of("loss.rate_form", self.rate_form, ["logdet", "simdino", "mcr2"])

    def _validate_form(self) -> None:
        heads, temps = (
            ("prototypes", "head_hidden", "bottleneck"),
            ("student_temp", "teacher_temp_start", "temp_warmup"),
        )
        centre = ("teacher_temp", "center_decay")
        reads = {
            "cosine": (),
            "dino": (*heads, *temps, *centre),
            "dino_headless": (*temps, *centre),
            "sharpened": centre,
        }
        one_of("loss.form", self.form, reads)
        for key in (*heads, *temps, *centre):
            if key not in reads[self.form]:
                unset(f"loss.{key}", getattr(self, key), f"loss.form={self.form} does not have it")
            elif getattr(self, key) is None:
                raise ValueError(f"loss.{key} is missing: loss.form={self.form} needs it")
        for key in heads:
            at_least(f"loss.{key}", getattr(self, key), 2)
        for key in ("student_temp", "teacher_temp_start", "teacher_temp"):
            at_least(f"loss.{key}", getattr(self, key), 0.0, exclusive=True)
        within("loss.temp_warmup", self.temp_warmup, 0.0, 1.0)
        within("loss.center_decay", self.center_decay, 0.0, 1.0)


@dataclass
class ModelConfig:
    name: str = MISSING  # seq_jepa
    action_dim: int = MISSING  # width P of the action embedding
    aggregator: str = MISSING  # transformer | crate | mean
    predictor: str = MISSING  # mlp | crate
    depth: int = MISSING  # blocks of the aggregator
    heads: int = MISSING  # attention heads of the aggregator
    positions: str = MISSING  # none | learned | sincos
    action_conditioning: bool = True  # false: every action embedding is zero
    action_bn: str = "single_call"  # | two_calls: two batch statistics, as in the public code
    ffn_ratio: int | None = None  # transformer
    dropout: float | None = None  # transformer
    norm_first: bool | None = None  # transformer: pre-norm blocks; the published ones are post-norm
    hidden: int | None = None  # width of the mlp predictor; 0 is a linear predictor
    predictor_depth: int | None = None  # crate
    predictor_heads: int | None = None
    eta: float | None = None  # crate, aggregator and predictor: step size of ISTA
    sparsity: float | None = None  # crate, aggregator and predictor: threshold of ISTA

    def validate(self) -> None:
        one_of("model.name", self.name, ["seq_jepa"])
        one_of("model.positions", self.positions, ["none", "learned", "sincos"])
        one_of("model.action_bn", self.action_bn, ["single_call", "two_calls"])
        one_of("model.aggregator", self.aggregator, ["transformer", "crate", "mean"])
        one_of("model.predictor", self.predictor, ["mlp", "crate"])
        for key in (
            "action_dim",
            "depth",
            "heads",
            "ffn_ratio",
            "predictor_depth",
            "predictor_heads",
        ):
            at_least(f"model.{key}", getattr(self, key), 1)
        at_least("model.hidden", self.hidden, 0)
        within("model.dropout", self.dropout, 0.0, 0.9)
        at_least("model.eta", self.eta, 0.0, exclusive=True)
        at_least("model.sparsity", self.sparsity, 0.0)
        for key, is_read in self.readers().items():
            no_dropout = key == "dropout" and self.dropout == 0.0  # of recipe=predictive
            if not is_read and self.aggregator != "mean" and not no_dropout:
                unset(f"model.{key}", getattr(self, key), f"{self.parts} does not have it")
            if is_read and getattr(self, key) is None:
                raise ValueError(f"model.{key} is missing: {self.parts} needs it")

    def readers(self) -> dict[str, bool]:
        """Returns whether the aggregator or the predictor reads each key that not all of them
        have."""
        return {
            "ffn_ratio": self.aggregator == "transformer",
            "dropout": self.aggregator == "transformer",
            "norm_first": self.aggregator == "transformer",
            "hidden": self.predictor == "mlp",
            "predictor_depth": self.predictor == "crate",
            "predictor_heads": self.predictor == "crate",
            "eta": "crate" in (self.aggregator, self.predictor),
            "sparsity": "crate" in (self.aggregator, self.predictor),
        }

    @property
    def parts(self) -> str:
        """The aggregator and the predictor, as text."""
        return f"model/aggregator={self.aggregator} with model/predictor={self.predictor}"


PROBES = (
    "class_from_z_agg",
    "class_from_z",
    "action_from_z",
    "action_from_z_agg",
    "relative_action_from_z",
    "view_from_z_agg",
)


@dataclass
class Config(JepaConfig):
    study: str = "seq_jepa"
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    probes: ProbesConfig = field(default_factory=ProbesConfig)

    groups: ClassVar[tuple[str, ...]] = (
        *(
            "model",
            "encoder",
            "target",
            "loss",
            "dataset",
            "optim",
            "precision",
            "hardware",
            "tier",
            "logger",
        ),
    )
    title: ClassVar[str] = "seq-JEPA"
    lacks: ClassVar[str] = "the seq-JEPA has no such group"
    has_references: ClassVar[bool] = True
    expected_by: ClassVar[tuple[str, ...]] = ("recipe", "data set", "tier")
    slots: ClassVar[Mapping[str, type[Options]]] = {
        **JepaConfig.slots,
        "encoder": EncoderOptions,
        "dataset.source": SourceOptions,
        "dataset.views": ViewOptions,
    }
    choosing: ClassVar[tuple[str, ...]] = (
        *(f"val/probe/{name}" for name in PROBES),
        *(f"val/{name}" for name in ("skill", "action_gain", "copy_gain")),
        *(f"val/{tap}/{name}" for tap in ("z", "z_agg") for name in ("effective_rank", "rankme")),
    )

    def validate(self) -> None:
        super().validate()
        if self.aux:
            self.aux, self.loss.lambda_rate = checked_aux(self.aux, self.loss.lambda_rate)
        if self.loss.form != "cosine" and self.target.name == "shared":
            raise ValueError(
                f"loss.form={self.loss.form} and target=shared contradict: its teacher has no"
                " gradient; use target=ema or target=stopgrad"
            )
        if self.loss.symmetric and self.dataset.first_view != "random":
            raise ValueError(
                "loss.symmetric=true and dataset.first_view=reference contradict: the target of the"
                " reversed sequence would always be the upright image, and its actions could be"
                " ignored; use dataset.first_view=random"
            )
        if self.gates.subspace_overlap_max is not None and not self.monitor.subspace:
            raise ValueError(
                "gates.subspace_overlap_max is set, and monitor.subspace=false does not measure it"
            )

    def counted(self) -> dict[str, Any]:
        settings = super().counted()
        del settings["study"]  # the first runs of seq-JEPA have no such key
        if isinstance(self.encoder, EncoderConfig):
            settings["encoder"] = self.encoder.counted()
        return settings
