"""hydra/sweeper=search: Optuna proposes settings from the validation results of earlier ones. A
search resumes from its log.

A proposal depends only on the log, its number and the sampler's seed, so a resumed search proposes
the same settings. Works with Optuna from 2.10, which Hydra's own sweeper needs, to current
versions.
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
from jepa_lab.errors import UserError, nearest, to_install
from jepa_lab.ledger.atomic import write_json
from jepa_lab.ledger.read import read_json
from jepa_lab.ledger.sweep_folder import Record, read_records
from jepa_lab.sweep.space import Settings, Space, settings_text

FILE = "search.json"
# the value that a sweeper gets for a failed run: finite, and far from any metric
WORST = 1e6
FINISHED = ("done", "resumed", "skipped")
Launch = Callable[[Sequence[Sequence[str]], int], object]


@dataclass(frozen=True)
class Plan:
    """The settings of a search.

    - `trials` is the number of trials, and `at_once` the number proposed together.
    - `metric` is the value to optimise. None is the metric that chooses the best checkpoint.
    - `sampler` is the seed of the sampler.
    - `startup` is the number of trials drawn at random first.
    """

    space: Space
    metric: str | None
    direction: str = "maximize"
    trials: int = 20
    at_once: int = 1
    sampler: int = 0
    startup: int = 5


@dataclass
class SearchTrial:
    """One setting of the axes.

    `value` is the mean of the metric over the seeds, None before the runs have finished. If a run
    failed, `why` is the reason.
    """

    number: int
    settings: Settings
    value: float | None = None
    why: str | None = None
    runs: list[str] = field(default_factory=list)


def run_search(
    plan: Plan, sweep_dir: Path, launch: Launch, anew: bool = False
) -> list[SearchTrial]:
    """Runs the search and returns all its trials.

    Trials of the log that have a value are not run again, unless `anew` starts a new log. Raises
    UserError for a log of another search, and for a metric that the runs do not have. An exception
    that stops the sweep passes through after the log is written.
    """
    trials = [] if anew else read_trials(sweep_dir, plan)
    for trial in trials:
        trial.why = None
    done = 0
    while True:
        waiting = [t for t in trials if t.value is None and t.why is None][: plan.at_once]
        # New trials are proposed only if no trial is open, so that proposals do not depend on where
        # an earlier start was cut short.
        if not waiting:
            for _ in range(min(plan.at_once, plan.trials - len(trials))):
                trials.append(SearchTrial(len(trials), propose(plan, trials)))
                waiting.append(trials[-1])
        if not waiting:
            return trials
        write_trials(sweep_dir, plan, trials)
        jobs = [
            plan.space.overrides(t.settings, seed) for t in waiting for seed in plan.space.seeds
        ]
        try:
            launch(jobs, done)
        finally:
            own = {r.job: r for r in read_records(sweep_dir)}
            each = len(plan.space.seeds)
            for i, trial in enumerate(waiting):
                numbers = range(done + i * each + 1, done + (i + 1) * each + 1)
                record_results(trial, [own[number] for number in numbers if number in own], each)
            write_trials(sweep_dir, plan, trials)
        _require_metric(plan, [own[n] for n in own if n > done])
        done += len(jobs)


def record_results(trial: SearchTrial, records: Sequence[Record], seeds: int) -> None:
    """Records the results of a trial's runs.

    A trial with a failed run gets no value. A trial with an unfinished run stays open.
    """
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
    """Returns the settings of the next trial. Raises UserError if Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise UserError(
            f"hydra/sweeper=search: Optuna is not installed; {to_install('optuna')}"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna's storages log a line for each of their plugins
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Optuna 2 warns of experimental parts that later versions still have
        warnings.simplefilter("ignore")
        return _ask(optuna, plan, trials)


def _ask(optuna: Any, plan: Plan, trials: Sequence[SearchTrial]) -> Settings:
    """Replays the log in a new Optuna study, then asks for the next settings."""
    # a new sampler for each proposal, so that no sampler state has to be restored
    seed = plan.sampler * 100_003 + len(trials)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=plan.startup)
    study = optuna.create_study(direction=plan.direction, sampler=sampler)
    worst = WORST if plan.direction == "minimize" else -WORST
    for trial in trials:
        study.enqueue_trial(dict(trial.settings))
        asked = study.ask()
        for axis in plan.space.axes:
            axis.suggest(asked)
        # a trial without a result runs at the same time as the proposed one
        if trial.value is not None or trial.why is not None:
            study.tell(asked, worst if trial.value is None else trial.value)
    asked = study.ask()
    return {axis.key: axis.suggest(asked) for axis in plan.space.axes}


def best_of(trials: Sequence[SearchTrial], direction: str) -> SearchTrial | None:
    """Returns the earliest trial with the best value, None if no trial has one."""
    sign = -1.0 if direction == "minimize" else 1.0
    valued = [t for t in trials if t.value is not None]
    return max(valued, key=lambda t: (sign * float(t.value or 0.0), -t.number), default=None)


def search_text(sweep_dir: Path) -> str:
    """Returns the search of the folder as text, every trial and the best one. "" if there is no
    search."""
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
    """Returns the trials of an earlier start, [] if there was none. Raises UserError for a log of
    another search."""
    content = _read(sweep_dir)
    if content is None:
        return []
    for key, value in _head(plan).items():
        if content.get(key) != value:
            raise UserError(
                f"{sweep_dir / FILE}: from a search with another {key} ({content.get(key)}, not"
                f" {value}); remove the file to start a new search, which reuses finished runs"
            )
    return [SearchTrial(**t) for t in content["trials"]]


def write_trials(sweep_dir: Path, plan: Plan, trials: Sequence[SearchTrial]) -> None:
    """Writes search.json with the trials and the best one. Raises OSError on failure."""
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
    """Raises UserError if a completed run lacks the metric, since the other runs will lack it
    too."""
    for record in records:
        if record.state in FINISHED and record.value is None and record.run_dir:
            summary = read_json(Path(record.run_dir) / "summary.json")
            known = [key for key in summary.get("metrics", ()) if key.startswith("val/")]
            close = nearest(plan.metric or "", known)
            raise UserError(
                f"sweep.objective={plan.metric or 'null'}: {record.run_dir} has no such"
                f" value{close}"
            )
