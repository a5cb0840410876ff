"""The dataclass behind conf/dataset: images, views, and the training budget of each tier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from jepa_lab.config.extensions import SourceOptions, ViewOptions
from jepa_lab.config.gates import check_limit
from jepa_lab.config.ranges import at_least, one_of, ordered_pair, unset

SOURCES = (
    *("digits", "mnist", "cifar10", "cifar100", "stl10", "tinyimagenet"),
    *("3diebench", "imagenet_maps", "npz", "folder", "hf"),
)
OWN = "own"
STREAMED = ("npz", "folder", "hf")
# options of turned and moved views, which user-defined views do not read
OF_TURNED_VIEWS = (
    *("action_code", "mode", "rotation", "translation", "scale", "scale_law", "interpolation"),
    *("padding", "relative_action"),
)
NEEDS_ROOT = {
    "folder": "the folder with the images",
    "3diebench": (
        "the folder of 3DIEBench, <class>/<object>/image_<k>.jpg and latent_<k>.npy, linked from "
        "github.com/facebookresearch/SIE"
    ),
    "imagenet_maps": (
        "the folder of ImageNet (image-net.org), train/<wnid>/*.JPEG and val/<wnid>/*.JPEG with "
        "<name>-sal.npy beside each"
    ),
}


@dataclass
class TierBudget:
    batch_size: int = MISSING
    epochs: int = MISSING
    train_size: int | None = None  # null: every image
    val_size: int | None = None
    # limits for the metrics of the last epoch, see config/gates.py
    gates: dict[str, float] = field(default_factory=dict)


@dataclass
class DatasetConfig:
    name: str = MISSING
    source: Any = MISSING  # one of SOURCES, or options of a user-defined source
    # rotation | affine | augment | saccade | rendered, or options of user-defined views
    views: Any = MISSING
    tiers: dict[str, TierBudget] = field(default_factory=dict)
    batch_size: int = MISSING
    epochs: int = MISSING
    train_size: int | None = None
    val_size: int | None = None
    root: str | None = None
    path: str | None = None
    image_size: int | None = None
    # npz, folder, hf: images of a run that take more GB of memory are streamed from a cache on
    # disk; null: those that the machine cannot hold
    memory_gb: float | None = None
    cache: str | None = None  # the folder of the caches; null: jepa_lab in the user's cache
    # hf: one of several configurations; null: the only one
    config_name: str | None = None
    image_column: str | None = None  # hf; null: the only column of images
    label_column: str | None = None  # hf; null: the only column of classes; none: no labels
    n_views: int = 4  # V = M + 1
    seq_len: int | None = None  # M, the alternative to n_views
    action_code: str | None = None  # rotation: sincos | one_hot
    usual_first_view: str = "reference"  # default of first_view for these views
    first_view: str = "reference"  # reference | random
    eval_first_view: str | None = None  # first_view on validation and test; null: as in training
    mode: str | None = None  # affine: multi | rot_only | trans_only | scale_only
    rotation: list[float] | None = None  # affine: degrees, lowest and highest
    translation: list[int] | None = None  # affine: pixels, lowest and highest
    scale: list[float] | None = None
    scale_law: str | None = None  # log_uniform | uniform
    interpolation: str | None = None  # bilinear | nearest
    padding: str | None = None  # zeros | reflection | border
    # affine: difference (of the parameters, as published) | group (T_b T_a^-1)
    relative_action: str | None = None
    fovea: int | None = None  # saccade: side of a patch, in pixels
    saliency: str | None = None  # saccade: spectral | file | uniform
    saliency_path: str | None = None  # the folder with train.npy and test.npy of saliency=file
    inhibition: bool | None = None  # saccade: no return to a fixated location
    action_norm: str | None = None  # augment: fixed | legacy_l2_views | none
    latent_type: str | None = None  # rendered: rot | color | rotcolor

    def validate(self) -> None:
        for tier, budget in self.tiers.items():
            for name, limit in budget.gates.items():
                check_limit(f"dataset.tiers.{tier}.gates.{name}", name, limit)
        if not isinstance(self.source, SourceOptions):
            one_of("dataset.source", self.source, SOURCES)
        if not isinstance(self.views, ViewOptions):
            one_of(
                "dataset.views",
                self.views,
                ["rotation", "affine", "augment", "saccade", "rendered"],
            )
        elif not self.views.has_reference:
            self._refuse_reference(f"views of {type(self.views).__name__}")
        one_of("dataset.first_view", self.first_view, ["reference", "random"])
        one_of("dataset.eval_first_view", self.eval_first_view, [None, "reference", "random"])
        if self.seq_len is not None:
            if self.n_views not in (5 if self.views == "saccade" else 4, self.seq_len + 1):
                both = f"dataset.seq_len={self.seq_len} and dataset.n_views={self.n_views}"
                raise ValueError(f"{both} contradict: n_views = seq_len + 1")
            self.n_views = self.seq_len + 1
        at_least("dataset.n_views", self.n_views, 2)
        at_least("dataset.batch_size", self.batch_size, 2)
        at_least("dataset.epochs", self.epochs, 1)
        for key in ("train_size", "val_size"):
            at_least(f"dataset.{key}", getattr(self, key), 2)
        at_least("dataset.image_size", self.image_size, 4)
        if self.source_name == "npz" and not self.path:
            raise ValueError("dataset.path is missing: the .npz file with the images")
        if self.source_name in NEEDS_ROOT and not self.root:
            raise ValueError(f"dataset.root is missing: {NEEDS_ROOT[self.source_name]}")
        if self.source_name == "hf" and not self.path:
            raise ValueError(
                "dataset.path is missing: the folder of a data set, or its name on the hub"
            )
        if self.source_name not in ("npz", "hf"):
            unset("dataset.path", self.path, "only dataset=npz and dataset=hf read it")
        if self.source_name != "hf":
            for key in ("config_name", "image_column", "label_column"):
                unset(f"dataset.{key}", getattr(self, key), "only dataset=hf reads it")
        at_least("dataset.memory_gb", self.memory_gb, 0.0)
        if self.source_name not in STREAMED:
            for key in ("memory_gb", "cache"):
                unset(
                    f"dataset.{key}",
                    getattr(self, key),
                    f"dataset={self.name} keeps its images in memory; only"
                    f" {', '.join(STREAMED)} stream them",
                )
        if self.source_name in ("npz", "hf", "digits", OWN):
            unset("dataset.root", self.root, f"dataset={self.name} reads no folder")
        for key in ("rotation", "translation", "scale"):
            ordered_pair(f"dataset.{key}", getattr(self, key))
        one_of("dataset.action_norm", self.action_norm, [None, "fixed", "legacy_l2_views", "none"])
        if self.views != "augment":
            unset(
                "dataset.action_norm",
                self.action_norm,
                f"dataset.views={self.views} have no such option",
            )
        if self.scale is not None and min(self.scale) <= 0:
            raise ValueError(f"dataset.scale={self.scale}: must be above 0")

        self._validate_saccade()
        self._validate_rendered()

    def _validate_saccade(self) -> None:
        if self.views != "saccade":
            for key in ("fovea", "saliency", "saliency_path", "inhibition"):
                unset(
                    f"dataset.{key}",
                    getattr(self, key),
                    f"only saccades have it, dataset={self.name} has {self.views}",
                )
            return
        self._refuse_reference("saccades")
        if self.fovea is None:
            raise ValueError("dataset.fovea is missing: the side of a patch in pixels")
        at_least("dataset.fovea", self.fovea, 1)
        one_of("dataset.saliency", self.saliency, [None, "spectral", "file", "uniform"])
        if self.source_name == "imagenet_maps":
            unset(
                "dataset.saliency_path",
                self.saliency_path,
                f"the maps of dataset={self.name} lie beside its images",
            )
        elif self.saliency == "file" and not self.saliency_path:
            raise ValueError(
                "dataset.saliency_path is missing: the folder with train.npy and test.npy"
            )
        if self.saliency != "file":
            unset(
                "dataset.saliency_path", self.saliency_path, "only dataset.saliency=file reads it"
            )

    def _validate_rendered(self) -> None:
        if (self.views == "rendered") != (self.source_name == "3diebench"):
            raise ValueError(
                f"dataset.views={self.views} and dataset.source={self.source}: rendered views need"
                " 3diebench, and 3diebench has no other views"
            )
        if self.views != "rendered":
            unset(
                "dataset.latent_type",
                self.latent_type,
                f"dataset.views={self.views} have no such option",
            )
            return
        self._refuse_reference("renderings")
        one_of("dataset.latent_type", self.latent_type, ["rot", "color", "rotcolor"])

    def _refuse_reference(self, what: str) -> None:
        for key in ("first_view", "eval_first_view"):
            if getattr(self, key) == "reference":
                raise ValueError(
                    f"dataset.{key}=reference: {what} have no reference view; use random"
                )

    @property
    def source_name(self) -> str:
        """The name of the source, "own" for a user-defined one."""
        return OWN if isinstance(self.source, SourceOptions) else self.source

    def view_options(self) -> dict[str, Any]:
        """Returns the options of the view group that are set."""
        keys = (*OF_TURNED_VIEWS, "action_norm", "fovea", "saliency", "inhibition", "latent_type")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}
