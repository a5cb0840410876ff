"""The configuration of the ARC JEPA, on top of the keys that all studies share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from jepa_lab.config.auxiliary import checked_tap_aux
from jepa_lab.config.ranges import at_least, one_of, within
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.studies.arc.dataset_config import ArcDatasetConfig
from jepa_lab.studies.arc.model_config import ArcModelConfig, VQConfig


@dataclass
class EarlyStopConfig:
    patience: int | None = None  # validations without a better primary loss; null: never
    min_delta: float = 0.0  # the least decrease that counts as better

    def validate(self) -> None:
        at_least("early_stop.patience", self.patience, 1)
        at_least("early_stop.min_delta", self.min_delta, 0.0)


FAMILIES = ("color", "translation", "symmetry")


@dataclass
class TemperatureConfig:
    init: float = 0.1
    min: float = 0.03
    max: float = 0.3
    learn: bool = True
    bound: str = "soft"  # | clamp: no gradient beyond the bounds, as published

    def validate(self) -> None:
        at_least("loss.temperature.min", self.min, 0.0, exclusive=True)
        if self.min >= self.max:
            raise ValueError(
                f"loss.temperature.min={self.min:g}: must be below"
                f" loss.temperature.max={self.max:g}"
            )
        within("loss.temperature.init", self.init, self.min, self.max)
        one_of("loss.temperature.bound", self.bound, ["soft", "clamp"])


@dataclass
class SigregConfig:
    weight: float = 0.0
    n_slices: int = 256
    n_points: int = 17
    t_max: float = 3.0
    form: str = "reference"  # | published: on rows normalised to length 1, without the factor n

    def validate(self) -> None:
        at_least("loss.sigreg.weight", self.weight, 0.0)
        at_least("loss.sigreg.n_slices", self.n_slices, 1)
        at_least("loss.sigreg.n_points", self.n_points, 3)
        if self.n_points % 2 == 0:
            raise ValueError(f"loss.sigreg.n_points={self.n_points}: must be odd")
        at_least("loss.sigreg.t_max", self.t_max, 0.0, exclusive=True)
        one_of("loss.sigreg.form", self.form, ["reference", "published"])


@dataclass
class InvarianceConfig:
    """Weights of the invariance terms: the vectors of an example should not change if all of its
    grids are transformed alike."""

    color: float = 0.0
    translation: float = 0.0
    symmetry: float = 0.0
    form: str = "true"  # | published: transforms of tokens that are not symmetries of grids
    max_delta: float = 0.1  # published: the largest shift of an object, a share of the grid's side

    def validate(self) -> None:
        self.form = "true" if self.form == "True" else self.form  # YAML reads true as a boolean
        for key in ("color", "translation", "symmetry", "max_delta"):
            at_least(f"loss.invariance.{key}", getattr(self, key), 0.0)
        one_of("loss.invariance.form", self.form, ["true", "published"])

    def weights(self) -> dict[str, float]:
        """Returns {family: weight} for the weights above 0."""
        return {key: w for key in FAMILIES if (w := getattr(self, key)) > 0}


@dataclass
class RelationalConfig:
    weight: float = 0.0
    self_weight: float = 0.0  # published: weight of the term for equal relations within a context
    form: str = "normalised"  # | published: grows with the fourth power of the embeddings' scale

    def validate(self) -> None:
        at_least("loss.relational.weight", self.weight, 0.0)
        at_least("loss.relational.self_weight", self.self_weight, 0.0)
        one_of("loss.relational.form", self.form, ["normalised", "published"])
        if self.form == "normalised" and self.self_weight:
            raise ValueError(
                f"loss.relational.self_weight={self.self_weight:g}: only"
                " loss.relational.form=published reads it"
            )


@dataclass
class ArcLossConfig:
    form: str = "info_nce"  # | l2: squared distance of unit vectors
    queue: int = 1024  # number of negatives kept from earlier batches
    exclude_same_task: bool = True  # outputs of the same task are not used as negatives
    temperature: TemperatureConfig = field(default_factory=TemperatureConfig)
    sigreg: SigregConfig = field(default_factory=SigregConfig)
    invariance: InvarianceConfig = field(default_factory=InvarianceConfig)
    relational: RelationalConfig = field(default_factory=RelationalConfig)

    def validate(self) -> None:
        one_of("loss.form", self.form, ["info_nce", "l2"])
        at_least("loss.queue", self.queue, 0)
        for part in (self.temperature, self.sigreg, self.invariance, self.relational):
            part.validate()


OF_IMAGES = (  # keys that only image studies read
    *(("monitor", key) for key in ("subspace", "sweep_anchors", "sweep_every", "rollout_steps")),
    *(("hardware", key) for key in ("channels_last", "compile")),
)
TERMS = (  # terms of the objective, whose names auxiliary losses must not use
    *(
        "prediction",
        "info_nce",
        "total",
        "vq",
        "commitment",
        "codebook",
        "usage",
        "relational",
        "relational_self",
    ),
    *(f"invariance_{family}" for family in FAMILIES),
)


@dataclass
class ArcConfig(JepaConfig):
    model: ArcModelConfig = field(default_factory=ArcModelConfig)
    vq: VQConfig = field(default_factory=VQConfig)
    loss: ArcLossConfig = field(default_factory=ArcLossConfig)
    dataset: ArcDatasetConfig = field(default_factory=ArcDatasetConfig)
    early_stop: EarlyStopConfig = field(default_factory=EarlyStopConfig)

    groups: ClassVar[tuple[str, ...]] = (
        *(
            "model",
            "vq",
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
    title: ClassVar[str] = "ARC JEPA"
    lacks: ClassVar[str] = "the ARC JEPA has no such group"
    choosing: ClassVar[tuple[str, ...]] = (
        *("val/skill", "val/retrieval/mrr", "val/retrieval/top1", "val/z_agg/effective_rank"),
    )

    def validate(self) -> None:
        super().validate()
        d, published = (
            self.dataset,
            self.dataset.slot_features == "published" and self.dataset.tokeniser == "slots",
        )
        if (
            self.loss.invariance.form == "published"
            and self.loss.invariance.weights()
            and not published
        ):
            raise ValueError(
                "loss.invariance.form=published needs dataset.slot_features=published: it"
                " transforms those features"
            )
        if d.problem == "copies" and self.model.roles:
            raise ValueError(
                "model.roles=true: copies of one grid have no roles; give model.roles=false"
            )
        if self.aux:
            self.aux = checked_tap_aux(self.aux, TERMS)
            self._refuse_second_sigreg()
        self._refuse_what_is_of_images()

    def _refuse_second_sigreg(self) -> None:
        own = self.loss.sigreg.weight
        for name, aux in self.aux.items():
            same = (
                aux.regulariser == "sigreg" and aux.site == "z_hat" and aux.proj_output_dim is None
            )
            if same and aux.weight > 0 and own > 0:
                raise ValueError(
                    f"aux.{name}.site=z_hat and loss.sigreg.weight={own:g} are SIGReg of one tap;"
                    " give one of them, or another site"
                )

    def _refuse_what_is_of_images(self) -> None:
        """Raises ValueError if a key that only image studies read differs from its default."""
        for group, key in OF_IMAGES:
            part = getattr(self, group)
            value = getattr(part, key)
            if value != getattr(type(part), key):  # the default
                given = f"{group}.{key}={str(value).lower()}"
                raise ValueError(f"{given}: only image studies read it, the ARC JEPA does not")
        if self.target.bn_buffers == "own_running":
            raise ValueError(
                "target.bn_buffers=own_running: only for the seq-JEPA; give averaged or copied"
            )
