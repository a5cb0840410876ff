"""hydra/sweeper=search: settings proposed by Optuna from what the earlier ones gave on validation;
its log goes on.

A proposal depends on the log, its number and the sampler's seed alone, so that a search that was
cut short and goes on proposes what it would have proposed. Works with Optuna from 2.10, which
Hydra's own sweeper needs, to today's.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jepa_lab import config as _config  # noqa: F401 - registers its resolver
from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.read import read_json
from jepa_lab.ledger.sweep_folder import Record, read_records
from jepa_lab.sweep.space import Settings, Space, settings_text

FILE = "search.json"
# away from any metric, and finite: what a sweeper that looks for the best run is told of one that
# failed
WORST = 1e6
FINISHED = ("done", "resumed", "skipped")
Launch = Callable[[Sequence[Sequence[str]], int], object]


@dataclass(frozen=True)
class Plan:
    """What to search: `trials` of them, `at_once` proposed together, for the best value of `metric`
    (None: of the one that chooses the best checkpoint); `sampler`: its seed; `startup`: trials
    drawn at random first."""

    space: Space
    metric: str | None
    direction: str = "maximize"
    trials: int = 20
    at_once: int = 1
    sampler: int = 0
    startup: int = 5


@dataclass
class SearchTrial:
    """One setting of the axes. value: the mean of the metric over the seeds; None before, and with
    `why` for a trial that gave none."""

    number: int
    settings: Settings
    value: float | None = None
    why: str | None = None
    runs: list[str] = field(default_factory=list)


def run_search(
    plan: Plan, sweep_dir: Path, launch: Launch, anew: bool = False
) -> list[SearchTrial]:
    """All trials; those of the log that gave a value are not run again, unless the search begins
    `anew`. UserError for a log of something else, and for a metric that the runs do not have. What
    stops the sweep passes through, with the log written."""
    trials = [] if anew else read_trials(sweep_dir, plan)
    for trial in trials:
        trial.why = None
    done = 0
    while True:
        waiting = [t for t in trials if t.value is None and t.why is None][: plan.at_once]
        # only then: what is proposed must not depend on where an earlier start was cut short
        if not waiting:
            for _ in range(min(plan.at_once, plan.trials - len(trials))):
                trials.append(SearchTrial(len(trials), propose(plan, trials)))
                waiting.append(trials[-1])
        if not waiting:
            return trials
        write_trials(sweep_dir, plan, trials)
        jobs = [plan.space.words(t.settings, seed) for t in waiting for seed in plan.space.seeds]
        try:
            launch(jobs, done)
        finally:
            own = {r.job: r for r in read_records(sweep_dir)}
            each = len(plan.space.seeds)
            for i, trial in enumerate(waiting):
                numbers = range(done + i * each + 1, done + (i + 1) * each + 1)
                tell(trial, [own[number] for number in numbers if number in own], each)
            write_trials(sweep_dir, plan, trials)
        _require_metric(plan, [own[n] for n in own if n > done])
        done += len(jobs)


def tell(trial: SearchTrial, records: Sequence[Record], seeds: int) -> None:
    """Takes what the trial's runs gave. A run that failed leaves it without a value; one that is to
    go on, open."""
    trial.runs = [r.run_dir for r in records if r.run_dir]
    if len(records) < seeds or any(r.state in ("to do", "to resume", "stopped") for r in records):
        return
    values = [r.value for r in records if r.value is not None and r.state in FINISHED]
    if len(values) == seeds:
        trial.value, trial.why = sum(values) / seeds, None
    else:
        bad = next(r for r in records if r.value is None or r.state not in FINISHED)
        trial.why = f"{bad.state}: {bad.reason}" if bad.reason else bad.state


def propose(plan: Plan, trials: Sequence[SearchTrial]) -> Settings:
    """The settings of the next trial. UserError where Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise UserError(
            'hydra/sweeper=search: Optuna is not installed; pip install "jepa-lab[optuna]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # of Optuna's storages: each of its plugins has a line
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Optuna 2 calls parts of itself experimental that are there still
        warnings.simplefilter("ignore")
        return _ask(optuna, plan, trials)


def _ask(optuna: Any, plan: Plan, trials: Sequence[SearchTrial]) -> Settings:
    """The log told to a new study, then asked."""
    # a sampler of its own each, so that none has a past to be restored
    seed = plan.sampler * 100_003 + len(trials)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=plan.startup)
    study = optuna.create_study(direction=plan.direction, sampler=sampler)
    worst = WORST if plan.direction == "minimize" else -WORST
    for trial in trials:
        study.enqueue_trial(dict(trial.settings))
        asked = study.ask()
        for axis in plan.space.axes:
            axis.suggest(asked)
        # others run beside the one that is proposed
        if trial.value is not None or trial.why is not None:
            study.tell(asked, worst if trial.value is None else trial.value)
    asked = study.ask()
    return {axis.key: axis.suggest(asked) for axis in plan.space.axes}


def best_of(trials: Sequence[SearchTrial], direction: str) -> SearchTrial | None:
    """The earliest with the best value; None where no trial has one."""
    sign = -1.0 if direction == "minimize" else 1.0
    told = [t for t in trials if t.value is not None]
    return max(told, key=lambda t: (sign * float(t.value or 0.0), -t.number)) if told else None


def search_text(sweep_dir: Path) -> str:
    """The search of the folder as text: every trial, then the best with its words; "" where there
    is none."""
    content = _read(sweep_dir)
    if content is None:
        return ""
    trials = [SearchTrial(**t) for t in content["trials"]]
    metric = content["metric"] or "the metric that chooses the best checkpoint"
    seeds = ", ".join(content["seeds"])
    lines = [f"search: {metric}, {content['direction']}d; seeds {seeds}"]
    for t in trials:
        value = f"{t.value:.5g}" if t.value is not None else t.why or "not finished"
        lines.append(f"  trial {t.number + 1:>3}  {settings_text(t.settings)}  {value}")
    best = best_of(trials, content["direction"])
    if best is None:
        return "\n".join([*lines, "no trial has a value yet; the same command resumes it"])
    lines.append(f"best: trial {best.number + 1}, {best.value:.5g}: {settings_text(best.settings)}")
    return "\n".join([*lines, f"trials: {sweep_dir / FILE}"])


def read_trials(sweep_dir: Path, plan: Plan) -> list[SearchTrial]:
    """The trials of an earlier start, none if there was none. UserError for those of another
    search."""
    content = _read(sweep_dir)
    if content is None:
        return []
    for key, value in _head(plan).items():
        if content.get(key) != value:
            raise UserError(
                f"{sweep_dir / FILE}: of a search with another {key} ({content.get(key)}, not"
                f" {value}); remove the file to search anew, its finished runs are found again"
            )
    return [SearchTrial(**t) for t in content["trials"]]


def write_trials(sweep_dir: Path, plan: Plan, trials: Sequence[SearchTrial]) -> None:
    """Writes search.json, the best trial in it. OSError."""
    best = best_of(trials, plan.direction)
    content = {
        **_head(plan),
        "best": asdict(best) if best else None,
        "trials": [asdict(t) for t in trials],
    }
    write_json(sweep_dir / FILE, content)


def _head(plan: Plan) -> dict[str, Any]:
    axes = json.loads(json.dumps([asdict(axis) for axis in plan.space.axes]))
    return {
        "metric": plan.metric,
        "direction": plan.direction,
        "seeds": list(plan.space.seeds),
        "space": axes,
    }


def _read(sweep_dir: Path) -> dict[str, Any] | None:
    content = read_json(sweep_dir / FILE)
    return content if "trials" in content else None


def _require_metric(plan: Plan, records: Sequence[Record]) -> None:
    """UserError if a run was completed and does not have the metric: neither will the others."""
    for record in records:
        if record.state in FINISHED and record.value is None and record.run_dir:
            summary = read_json(Path(record.run_dir) / "summary.json")
            known = [key for key in summary.get("metrics", ()) if key.startswith("val/")]
            close = nearest(plan.metric or "", known)
            raise UserError(
                f"sweep.objective={plan.metric or 'null'}: {record.run_dir} has no such"
                f" value{close}"
            )


# away from any metric, and finite: what a sweeper that looks for the best run is told of one that
# failed
WORST = 1e6
