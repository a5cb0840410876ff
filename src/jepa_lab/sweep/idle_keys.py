"""Says which of the keys that a user gave have no effect on a run, or on any job of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from jepa_lab.config.run_config import RunConfig
from jepa_lab.errors import say
from jepa_lab.studies import find
from jepa_lab.sweep.given_keys import given_keys, references

COMPARISON = "aux_comparison"  # value of sweep.report
OF_COMPARISON = ("results", "references", "tuning.weights", "tuning.span")
OF_ITS_REPORT = ("tuning.seeds", "tuning.metric")  # `jepa-lab report` reads them of every run
WITHOUT_OBJECTIVE = ("BasicSweeper", "CheckedSweeper", "AuxComparisonSweeper")

Job = tuple[DictConfig, RunConfig]


def say_idle_keys(jobs: Sequence[Job], hydra: Any, command: Any, single: bool) -> None:
    """Says a line for each key that the user gave and that has no effect in all jobs. A job is its
    configuration as composed and as checked.

    `hydra` is the node of the first job, and `command` that of the command line. A `single` run
    has one job, or one for each rung of its ladder.
    """
    given = given_keys(hydra, [*command.overrides.hydra, *command.overrides.task])
    idle = [idle_keys(config, hydra, None if single else command) for _, config in jobs]
    lines = idle_lines(given, idle)
    copied = {key for cfg, _ in jobs for key in references(cfg)} if lines else set()
    for key, line in lines.items():
        if not any(key == other or key.startswith(f"{other}.") for other in copied):
            say(line)  # the others have an effect on the key that copies them


def idle_lines(given: Mapping[str, str], idle: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns {key: line} of the given keys that every job has among its keys without effect,
    `idle`, with the reason of the first job."""
    return {
        key: f"{text} has no effect: {idle[0][key]}"
        for key, text in given.items()
        if idle and all(key in keys for keys in idle)
    }


def idle_keys(config: RunConfig, hydra: Any, sweep: Any = None) -> dict[str, str]:
    """Returns {key: reason} of the keys without effect on a job. `sweep` is the node of the sweep,
    None for a single run."""
    return {
        **find(config.study).idle_keys(config),
        **(_on_a_run(config) if sweep is None else _in_a_sweep(config, sweep)),
        **_of_hydra(hydra),
    }


def _on_a_run(config: RunConfig) -> dict[str, str]:
    """Returns the keys of a sweep. sweep.control is none of them: `jepa-lab report` reads it."""
    keys = ["fail_fast", "objective", *OF_COMPARISON]
    compared = config.sweep.report == COMPARISON
    if not compared:
        keys += OF_ITS_REPORT
    if not (compared and getattr(config, "seed", None) in config.sweep.tuning.seeds):
        keys.append("report")
    return {f"sweep.{key}": "this is a single run, no sweep" for key in keys}


def _in_a_sweep(config: RunConfig, sweep: Any) -> dict[str, str]:
    idle = {}
    if str(sweep.sweeper._target_).endswith(WITHOUT_OBJECTIVE):
        idle["sweep.objective"] = "only hydra/sweeper=search reads it"
    if config.sweep.report != COMPARISON:
        for key in (*OF_COMPARISON, *OF_ITS_REPORT):
            idle[f"sweep.{key}"] = f"only sweep.report={COMPARISON} reads it"
    return idle


def _of_hydra(hydra: Any) -> dict[str, str]:
    """Returns the keys of the folders that Hydra makes for a job, unless it writes there."""
    handlers = (hydra.job_logging or {}).get("handlers") or {}
    if hydra.output_subdir is not None or any("filename" in (h or {}) for h in handlers.values()):
        return {}
    own = "the files of a run are in a folder of its own below runs_dir"
    return {"hydra.run.dir": own, "hydra.sweep.subdir": own}
