"""The runs of docs/results/aux_losses.md: each comparison with the runs that chose its weights and
its reference runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jepa_lab.config.sweep import REFERENCES
from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.sweep_folder import Tuning
from jepa_lab.report.comparison.find_runs import FoundRuns, dataset_of, find_runs, value_or_none
from jepa_lab.report.comparison.ranking import Ranking, rank_runs
from jepa_lab.report.comparison.tuning import STAGED, is_tuning, tunings_of

ACCURACY, SKILL = "test/probe/class_from_z_agg", "test/skill"
# keys that are equal in all runs of a section
COMMON = ("dataset", "tier", "target", "dataset.epochs", "dataset.train_size")
# the place to which losses are moved, and the loss that acts there by default
MOVED, OF_Z_AGG = ("z_agg", "coding_rate")


def in_place(name: str, own: Mapping[str, Any]) -> bool:
    """Whether a loss of the comparison acts at its default place. center_penalty is excluded,
    because only claims use it."""
    return own.get("site") != MOVED and name != "center_penalty"


def moved(name: str, own: Mapping[str, Any]) -> bool:
    """Whether the loss acts on the aggregate instead, and is unchanged otherwise."""
    return own.get("site") == MOVED and not moved_bare(name, own)


def moved_bare(name: str, own: Mapping[str, Any]) -> bool:
    """Whether the loss is VICReg, the only one with a projector by default, on the aggregate and
    without its projector."""
    return name == "vicreg" and own.get("site") == MOVED and own.get("proj_output_dim") is None


@dataclass(frozen=True)
class Section:
    """A comparison of the document. Its marks begin with `name`. `dataset` and `metric` are those
    of its runs.

    `arms` is true for all losses of its runs. The coding rate is exempt, because it always acts on
    z_agg.
    """

    name: str
    dataset: str
    metric: str
    title: str
    arms: Callable[[str, Mapping[str, Any]], bool] = in_place

    def has(self, run: Run) -> bool:
        """Whether all losses of the run belong to this section. True for a run without losses."""
        return all(
            self.arms(name, own)
            for name, own in (run.config.get("aux") or {}).items()
            if name != OF_Z_AGG
        )


SECTIONS = [
    Section("digits", "digits_rot", ACCURACY, "digits: class from z_agg"),
    Section("place", "digits_rot", ACCURACY, "digits, losses on z_agg: class from z_agg", moved),
    Section(
        "bare",
        "digits_rot",
        ACCURACY,
        "digits, VICReg on z_agg without projector: class from z_agg",
        moved_bare,
    ),
    Section("cifar", "npz cifar10_16.npz", ACCURACY, "CIFAR-10 subset: class from z_agg"),
    Section("arc", "arc", SKILL, "ARC JEPA: skill"),
]


@dataclass(frozen=True)
class Results:
    """The results of a section.

    `ranking` ranks the reported runs and is None without any. `tuning` is None before the tuning
    has finished. `references` maps a name to reference runs with the same data and budget. `why`
    says why there is no ranking.
    """

    section: Section
    runs: list[Run]
    ranking: Ranking | None
    tuning: Tuning | None
    references: dict[str, list[Run]]
    why: str = ""


def read(runs_dir: Path, section: Section) -> Results:
    """Returns the results of the section. Raises SystemExit if two runs have the same
    arm and seed."""
    found = find_runs(runs_dir)
    every = _of(found, section)
    runs = [run for run in every if not is_tuning(run)]
    tuning = _merged([_own(one, every) for one in tunings_of(every, runs_dir)], runs)
    bounds = _references(found, runs)
    if not any(section.metric in run.last() for run in runs):
        return Results(
            section,
            every,
            None,
            tuning,
            bounds,
            f"{len(runs)} reported runs have begun, none has ended",
        )
    try:
        return Results(
            section, every, rank_runs(runs, section.metric, "max", None, ("aux",)), tuning, bounds
        )
    except UserError as error:
        raise SystemExit(f"{section.name}: {error}") from None


def _of(found: FoundRuns, section: Section) -> list[Run]:
    """Returns the runs of the section's data. If there are several settings, only the runs of the
    most frequent one are returned, because another target is another comparison."""
    own = [run for run in found.runs if STAGED in str(run.config.get("name"))]
    own = [
        run for run in own if section.dataset in (dataset_of(run.config), run.config.get("study"))
    ]
    own = [run for run in own if section.has(run)]
    if section.arms is not in_place and not any(
        set(run.config.get("aux") or {}) - {OF_Z_AGG} for run in own
    ):
        return []  # no loss was moved
    settings = [tuple(str(value_or_none(run.config, key)) for key in COMMON) for run in own]
    usual = Counter(settings).most_common(1)
    return [run for run, setting in zip(own, settings, strict=True) if setting == usual[0][0]]


def _references(found: FoundRuns, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Returns {name: runs} of the reference runs with the seeds, data and budget of `runs`, at any
    target."""
    keys = [key for key in COMMON if key != "target"] + ["seed"]
    wanted = [tuple(str(value_or_none(run.config, key)) for key in keys) for run in runs]
    return {
        title: own
        for name, title in REFERENCES.items()
        if (
            own := [
                run
                for run in found.runs
                if run.config.get("name") == name
                and tuple(str(value_or_none(run.config, k)) for k in keys) in wanted
            ]
        )
    }


def _own(tuning: Tuning, every: Sequence[Run]) -> Tuning:
    """Returns the tuning without the arms for which no run of the section was tried."""
    ids = {run.status.get("run_id") for run in every}
    return replace(
        tuning,
        arms=[
            a for a in tuning.arms if any(t.run_id in ids for c in a.candidates for t in c.trials)
        ],
    )


def _merged(found: Sequence[Tuning], runs: Sequence[Run]) -> Tuning | None:
    """Returns the arms of all tunings as one tuning. Of an arm that was tuned twice, the tuning
    whose weight has more reported runs is kept."""
    ordered = sorted(found, key=lambda one: _agreeing(one, runs))
    arms = {arm.arm: arm for one in ordered for arm in one.arms}
    return (
        replace(ordered[-1], arms=sorted(arms.values(), key=lambda arm: arm.arm))
        if ordered
        else None
    )


def _agreeing(tuning: Tuning, runs: Sequence[Run]) -> int:
    """Returns the number of losses in the reported runs with the weight that this tuning chose."""
    chosen = {arm.arm: arm.chosen.weight for arm in tuning.arms if arm.chosen}
    arms = [
        (name, own.get("weight"))
        for run in runs
        for name, own in (run.config.get("aux") or {}).items()
    ]
    return sum(name in chosen and weight == chosen[name] for name, weight in arms)
