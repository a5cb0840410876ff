"""+experiment=aux_comparison: chooses the weights on validation with separate seeds, then reports
runs with these weights on other seeds.

Both stages are ordinary jobs of an ordinary sweep. The chosen weights are kept in tuning.json of
the sweep's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from jepa_lab.config.sweep import TuningConfig
from jepa_lab.errors import UserError
from jepa_lab.ledger.sweep_folder import (
    FILE,
    ArmTuning,
    Candidate,
    Tuning,
    WeightTrial,
    read_records,
    read_tuning,
    write_tuning,
)
from jepa_lab.report.comparison.report import require_folder
from jepa_lab.studies import find
from jepa_lab.sweep.jobs import check_jobs, check_sweep, plan_jobs
from jepa_lab.sweep.records import SweepEnded
from jepa_lab.sweep.references import plan_references, reference_jobs
from jepa_lab.sweep.sweep_line import Overrides, SweepLine
from jepa_lab.sweep.tuning import candidate_weights, measured

END = " (at the end of the tried range)"
ENDED = ("done", "resumed", "skipped", "failed")


@dataclass(frozen=True)
class Stages:
    """The jobs of both stages. `tuning` has the runs of the first stage, without their results.
    `references` are the names of the reference runs beside the reported arms."""

    line: SweepLine
    master: DictConfig
    tuning: Tuning
    first: list[Overrides]
    references: list[str] = field(default_factory=list)

    def second(self, tuning: Tuning, by_default: bool = False) -> list[Overrides]:
        """Returns the reported jobs with the chosen weights, ordered by seed, so that an
        interrupted sweep still has pairs. Leaves out an arm without a chosen weight, or with
        `by_default` uses its default weight."""
        weights = {
            arm.arm: arm.chosen.weight if arm.chosen else arm.default * by_default
            for arm in tuning.arms
        }
        chosen = {arm.arm: arm.overrides(weights[arm.arm]) for arm in tuning.arms}
        jobs = []
        for seed in self.line.seeds:
            jobs += [
                self.line.job(arm, seed, chosen.get(arm, ()))
                for arm in self.line.arms
                if weights.get(arm, True)
            ]
            jobs += reference_jobs(self.references, self.line.common, seed)
        return jobs


Compose = Callable[[Sequence[Sequence[str]]], list[DictConfig]]
Launch = Callable[[Sequence[Sequence[str]], int], object]


def plan_stages(
    line: SweepLine, master: DictConfig, compose: Compose, downloads: bool = True
) -> Stages:
    """Composes and checks all jobs before the first one starts. Without `downloads` no data are
    downloaded. Raises UserError for invalid arms."""
    jobs = compose([line.job(arm, line.seeds[0]) for arm in line.arms])
    for job in jobs:
        rate = job.loss.get("lambda_rate")
        if rate:
            raise UserError(
                f"loss.lambda_rate={rate:g}: must be 0 in every arm; aux=coding_rate is the arm"
                " with this loss"
            )
    configs: list[Any] = check_sweep(jobs, master)
    if not all(config.tests_arms for config in configs):
        raise UserError(
            f"{jobs[0].name}: the {configs[0].title} has no group aux; give an experiment of a JEPA"
        )
    settings = configs[0].sweep.tuning
    both = sorted({*settings.seeds} & {*line.seeds})
    if both:
        raise UserError(
            f"sweep.tuning.seeds={_list(settings.seeds)}: seed {both[0]} is reported too; a weight"
            " must not be chosen on a seed that is reported"
        )
    _require_metric(configs[0], settings.metric)
    require_folder(Path(master.sweep.results), "sweep.results")
    arms = [
        _untried(
            text,
            {f"aux.{name}.weight": options.weight for name, options in config.aux.items()},
            settings,
        )
        for text, config in zip(line.arms, configs, strict=True)
        if config.aux
    ]
    first = [
        line.job(arm.arm, seed, arm.overrides(c.weight))
        for arm in arms
        for c in arm.candidates
        for seed in dict.fromkeys(settings.seeds)
    ]
    jobs = compose(first)
    checked = check_jobs(jobs, master) if jobs else []
    records, _ = plan_jobs(jobs, checked, downloads=downloads)
    remaining = iter(records)
    for arm in arms:
        for candidate in arm.candidates:
            for seed in dict.fromkeys(settings.seeds):
                record = next(remaining)
                candidate.trials.append(
                    WeightTrial(seed, record.run_id or "", record.run_dir or "")
                )
    sweep_dir = Path(master.hydra.sweep.dir)
    references = plan_references(configs[0], line.common, line.seeds[0], compose, master)
    return Stages(
        line,
        master,
        Tuning(sweep_dir.name, settings.metric, list(settings.seeds), arms),
        first,
        references,
    )


def run_stages(stages: Stages, launch: Launch) -> None:
    """Runs both stages with `launch`. Raises SweepEnded if the first one was stopped early."""
    sweep_dir = Path(stages.master.hydra.sweep.dir)
    kept = None if stages.master.on_existing == "restart" else read_tuning(sweep_dir)
    done = 0
    if kept is not None and kept.settled and kept.same_runs(stages.tuning):
        tuning = kept
        print(f"weights chosen before: {chosen_text(tuning)} ({sweep_dir / FILE})", flush=True)
    else:
        if stages.first:
            print(
                f"first stage: {len(stages.first)} jobs choose the weights by"
                f" {stages.tuning.metric}",
                flush=True,
            )
            launch(stages.first, 0)
            done = len(stages.first)
        records = read_records(sweep_dir)
        if len(records) < done or any(record.state not in ENDED for record in records):
            raise SweepEnded
        tuning = measured_tuning(stages.tuning)
        write_tuning(sweep_dir, tuning)
    second = stages.second(tuning)
    weights = f" with {chosen_text(tuning)}" if tuning.arms else ""
    print(f"\nsecond stage: {len(second)} jobs are reported{weights}", flush=True)
    if second:
        launch(second, done)


def check_stages(stages: Stages, launch: Launch) -> None:
    """Lists the jobs of both stages. Trains and writes nothing."""
    if stages.first:
        launch(stages.first, 0)
    tuning = measured_tuning(stages.tuning)
    open_arms = [arm.arm for arm in tuning.arms if arm.chosen is None]
    own = (
        f"; those of {', '.join(open_arms)} are not chosen yet and are shown at their defaults"
        * bool(open_arms)
    )
    print(f"\nsecond stage, with the chosen weights{own}", flush=True)
    launch(stages.second(tuning, by_default=True), len(stages.first))


def measured_tuning(tuning: Tuning) -> Tuning:
    """Returns the tuning with the results of the runs on disk."""
    return Tuning(
        tuning.sweep,
        tuning.metric,
        tuning.seeds,
        [measured(arm, tuning.metric) for arm in tuning.arms],
    )


def chosen_text(tuning: Tuning) -> str:
    """Returns 'vicreg 0.316, sigreg 10 (at the end of the tried range), dino no weight'."""
    parts = [
        (
            f"{arm.arm} {'times ' * bool(arm.parts)}{arm.chosen.weight:g}{END * bool(arm.end)}"
            if arm.chosen
            else f"{arm.arm} no weight"
        )
        for arm in tuning.arms
    ]
    return ", ".join(parts) or "no arm has a weight"


def _untried(arm: str, weights: dict[str, float], settings: TuningConfig) -> ArmTuning:
    """Returns an arm with its candidate weights. For several losses they are common factors of all
    weights."""
    for key, weight in weights.items():
        if not weight > 0:
            raise UserError(
                f"{key}={weight:g}: must be above 0; the weights to try are spaced around it"
            )
    key, own = next(iter(weights.items())) if len(weights) == 1 else ("factor of all weights", 1.0)
    tried = [
        Candidate(weight, []) for weight in candidate_weights(own, settings.weights, settings.span)
    ]
    return ArmTuning(arm, key, own, tried, weights if len(weights) > 1 else {})


def _require_metric(config: Any, metric: str) -> None:
    """Raises UserError if runs with these images and views do not measure the metric."""
    reason = find(config.study).study.unmeasured(config, metric)
    if reason:
        raise UserError(f"sweep.tuning.metric={metric}: not measured, {reason}")


def _list(seeds: Sequence[int]) -> str:
    return f"[{','.join(map(str, seeds))}]"
