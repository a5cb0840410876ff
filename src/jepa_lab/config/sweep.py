"""The keys `sweep`: what is made of the jobs of a sweep, and how a comparison chooses its weights.
The keys `sweep`: what is made of the jobs of a sweep, and how a comparison chooses its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jepa_lab.config.ranges import at_least, one_of, unset


@dataclass
class TuningConfig:
    """How aux_comparison chooses the weight of every arm, on validation."""

    weights: int = 5  # tried for every arm, log-spaced around its own
    span: float = 10000.0  # the largest over the smallest
    seeds: list[int] = field(default_factory=lambda: [1000, 1001])  # reported nowhere
    metric: str = "val/probe/class_from_z_agg"  # its last value; the same on test is reported

    def validate(self) -> None:
        at_least("sweep.tuning.weights", self.weights, 1)
        at_least("sweep.tuning.span", self.span, 1.0, exclusive=True)
        if not self.seeds:
            raise ValueError(
                "sweep.tuning.seeds=[]: one seed or more to choose the weights with, as [1000,1001]"
            )


@dataclass
class SweepConfig:
    fail_fast: bool = False
    control: str | None = None  # name of an experiment, or settings as key=value key=value
    report: str | None = (
        None  # views_grid, aux_comparison: what is made of the sweep's runs at its end
    )
    results: str = "comparison_results"  # the folder that aux_comparison writes
    # of aux_comparison: random_init, supervised, beside the arms
    references: list[str] = field(default_factory=list)
    objective: str | None = (
        None  # the metric that a searching sweeper is told; null: the one that chooses best.ckpt
    )
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
                " val/probe/class_from_z_agg; evaluate what it found on test once, afterwards"
            )
        self.tuning.validate()


REFERENCES = {
    "random_init": "random encoder",
    "supervised": "supervised",
}  # experiments that bound others: their names


def is_reference(words: Sequence[str]) -> bool:
    """Whether a job's words are those of a reference."""
    return any(f"name={name}" in words for name in REFERENCES)
