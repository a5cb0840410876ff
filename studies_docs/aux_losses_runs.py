"""The runs of docs/results/aux_losses.md: each comparison by itself, with what chose its weights
and what bounds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run
from jepa_lab.ledger.sweep_folder import Tuning
from jepa_lab.report.comparison.find_runs import FoundRuns, dataset_of, find_runs, value_or_none
from jepa_lab.report.comparison.ranking import Ranking, rank_runs
from jepa_lab.report.comparison.tuning import STAGED, is_tuning, tunings_of

ACCURACY, SKILL = "test/probe/class_from_z_agg", "test/skill"
# equal in all runs of a section
COMMON = ("dataset", "tier", "target", "dataset.epochs", "dataset.train_size")
# where losses are moved to, and the one that acts there unasked
MOVED, OF_Z_AGG = ("z_agg", "coding_rate")
REFERENCES = {"random_init": "random encoder", "supervised": "supervised"}


def in_place(name: str, own: Mapping[str, Any]) -> bool:
    """An arm of the comparison stands where it stands without being told; only claims ask for
    center_penalty."""
    return own.get("site") != MOVED and name != "center_penalty"


def moved(name: str, own: Mapping[str, Any]) -> bool:
    """It was moved to the aggregate, and is as it was otherwise."""
    return own.get("site") == MOVED and not moved_bare(name, own)


def moved_bare(name: str, own: Mapping[str, Any]) -> bool:
    """It is VICReg, the only one that comes with a projector, on the aggregate and without it."""
    return name == "vicreg" and own.get("site") == MOVED and own.get("proj_output_dim") is None


@dataclass(frozen=True)
class Section:
    """A comparison of the document: its marks begin with `name`; `dataset` and `metric` are those
    of its runs, and `arms` holds for all of their losses, but for the coding rate, which has one
    place of its own, z_agg."""

    name: str
    dataset: str
    metric: str
    title: str
    arms: Callable[[str, Mapping[str, Any]], bool] = in_place

    def has(self, run: Run) -> bool:
        """Whether the losses of the run are of this section; a run without any is."""
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
    """What a section has: the ranking of its reported runs, None without any, the tuning, None
    before it ended, and runs of the same data and budget that bound it, by their name."""

    section: Section
    runs: list[Run]
    ranking: Ranking | None
    tuning: Tuning | None
    references: dict[str, list[Run]]
    why: str = ""


def read(runs_dir: Path, section: Section) -> Results:
    """The runs of the section. SystemExit where two runs are of one arm and seed."""
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
    """Those of its data, and of several settings the one with the most runs: another target is
    another comparison."""
    own = [run for run in found.runs if STAGED in str(run.config.get("name"))]
    own = [
        run for run in own if section.dataset in (dataset_of(run.config), run.config.get("study"))
    ]
    own = [run for run in own if section.has(run)]
    if section.arms is not in_place and not any(
        set(run.config.get("aux") or {}) - {OF_Z_AGG} for run in own
    ):
        return []  # nothing was moved
    settings = [tuple(str(value_or_none(run.config, key)) for key in COMMON) for run in own]
    usual = Counter(settings).most_common(1)
    return [run for run, setting in zip(own, settings, strict=True) if setting == usual[0][0]]


def _references(found: FoundRuns, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """{name: its runs} of the seeds, data and budget of `runs`, whatever their target."""
    keys = [key for key in COMMON if key != "target"] + ["seed"]
    wanted = [tuple(str(value_or_none(run.config, key)) for key in keys) for run in runs]
    return {
        told: own
        for name, told in REFERENCES.items()
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
    """The arms of it that runs of the section were tried for."""
    ids = {run.status.get("run_id") for run in every}
    return replace(
        tuning,
        arms=[
            a for a in tuning.arms if any(t.run_id in ids for c in a.candidates for t in c.trials)
        ],
    )


def _merged(found: Sequence[Tuning], runs: Sequence[Run]) -> Tuning | None:
    """The arms of all tunings in one; of an arm that was tuned twice the one whose weights were
    reported more."""
    ordered = sorted(found, key=lambda one: _agreeing(one, runs))
    arms = {arm.arm: arm for one in ordered for arm in one.arms}
    return (
        replace(ordered[-1], arms=sorted(arms.values(), key=lambda arm: arm.arm))
        if ordered
        else None
    )


def _agreeing(tuning: Tuning, runs: Sequence[Run]) -> int:
    """How many of the reported runs have the weight that this tuning chose."""
    chosen = {arm.arm: arm.chosen.weight for arm in tuning.arms if arm.chosen}
    arms = [
        (name, own.get("weight"))
        for run in runs
        for name, own in (run.config.get("aux") or {}).items()
    ]
    return sum(name in chosen and weight == chosen[name] for name, weight in arms)
