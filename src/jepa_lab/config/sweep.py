"""The config keys `sweep`: the report of a sweep, and the choice of weights in a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from jepa_lab.config.ranges import at_least, one_of, unset


@dataclass
class TuningConfig:
    """The choice of every arm's weight in aux_comparison, on validation."""

    weights: int = 5  # number of weights tried for every arm, log-spaced around its default
    span: float = 10000.0  # ratio of the largest to the smallest weight
    seeds: list[int] = field(default_factory=lambda: [1000, 1001])  # for tuning only
    # its last value decides; the report uses the test split
    metric: str = "val/probe/class_from_z_agg"

    def validate(self) -> None:
        at_least("sweep.tuning.weights", self.weights, 1)
        at_least("sweep.tuning.span", self.span, 1.0, exclusive=True)
        most = 1 + int(900 * math.log10(self.span))
        if self.weights > most:
            raise ValueError(
                f"sweep.tuning.weights={self.weights}: must be at most {most}, the number of"
                f" weights of three digits in sweep.tuning.span={self.span:g}"
            )
        if not self.seeds:
            raise ValueError(
                "sweep.tuning.seeds=[]: one seed or more to choose the weights with, as [1000,1001]"
            )


@dataclass
class SweepConfig:
    fail_fast: bool = False
    control: str | None = None  # name of an experiment, or settings as key=value key=value
    report: str | None = None  # report on the sweep's runs at its end: views_grid, aux_comparison
    results: str = "comparison_results"  # the folder that aux_comparison writes
    # for aux_comparison: reference runs beside the arms, from random_init and supervised
    references: list[str] = field(default_factory=list)
    # the metric that a search optimises; null: the one that chooses best.ckpt
    objective: str | None = None
    tuning: TuningConfig = field(default_factory=TuningConfig)

    def validate(self) -> None:
        one_of("sweep.report", self.report, [None, "views_grid", "aux_comparison"])
        for name in self.references:
            one_of("sweep.references", name, ["random_init", "supervised"])
        if self.references and self.report != "aux_comparison":
            unset(
                "sweep.references",
                ",".join(self.references),
                "only a comparison has them, +experiment=aux_comparison",
            )
        if self.objective is not None and not self.objective.startswith("val/"):
            raise ValueError(
                f"sweep.objective={self.objective}: a search chooses on validation, as"
                " val/probe/class_from_z_agg; evaluate its result on test once, afterwards"
            )
        self.tuning.validate()


# reference runs of a comparison: experiment -> name in reports
REFERENCES = {"random_init": "random encoder", "supervised": "supervised"}


def is_reference(overrides: Sequence[str]) -> bool:
    """Whether a job is a reference run, according to its overrides."""
    return any(f"name={name}" in overrides for name in REFERENCES)
