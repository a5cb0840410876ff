"""The runs of a toy's configuration, their folders, and the runs that are still to be trained.
Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from jepa_lab.errors import UserError, say
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.own_files import require_kinds
from jepa_lab.ledger.run_dir import RunDir, has_checkpoint
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.grid import identity_keys, idle_axes, members
from jepa_lab.studies.linear_byol.key_groups import MODE_KEYS
from jepa_lab.studies.linear_byol.memory import bytes_needed
from jepa_lab.training.memory import require_memory
from jepa_lab.training.resume import Planner, RunPlan


@dataclass(frozen=True)
class ToyRun:
    """The configuration, id and folder of one run."""

    config: ToyConfig
    run_id: str
    dir: RunDir

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Every setting of the run, without nesting.

        Constants of another lr_enc_mode are None. `lr_pred_setting` and `lr_enc_setting` are the
        rates as set, None in auto mode. `tau` and `run_id` are added.
        """
        known = identity_keys(self.config)
        flat = {
            k: v
            for k, v in asdict(self.config).items()
            if k in known or k in ("lr_enc", "batch_size", "symmetric")
        }
        settings = {
            **flat,
            **{key: known.get(key) for key in MODE_KEYS},
            "lr_pred_setting": self.config.lr_pred,
            "lr_enc_setting": self.config.lr_enc,
            "tau": float(f"{1 - (self.config.ema_m or 0.0):.12g}"),
            "run_id": self.run_id,
        }
        return MappingProxyType(settings)


@dataclass
class ToyPlan(RunPlan):
    """The runs of one command. `home` is the folder of a single run, or else of the grid. `pending`
    holds the runs that are to be trained, and `decide` fills it."""

    runs: list[ToyRun] = field(default_factory=list)
    pending: list[ToyRun] = field(default_factory=list)

    def decide(self) -> str:
        """Returns new, resume, restart or skip, by the state of all runs' folders, and fills
        `pending`.

        Raises UserError for on_existing=error if a run exists, for runs of another version of the
        results, and for a folder at the name of a run's file or the reverse.
        """
        for folder in {self.home.path, *(run.dir.path for run in self.runs)}:
            require_kinds(folder)
        how, started = self.config.on_existing, self.home.status() is not None
        existing = [run.dir.path for run in self.runs if run.dir.status() is not None]
        existing += [self.home.path] if started else []
        if how == "error" and existing:
            raise UserError(
                f"{existing[0]}: this run exists; give on_existing=resume or on_existing=restart"
            )
        self.pending = [run for run in self.runs if how == "restart" or not finished(run.dir)]
        if not self.pending:
            return "skip"
        if how == "restart" and started:
            return "restart"
        return "resume" if has_checkpoint(self.home.checkpoints) else "new"

    def note(self) -> str | None:
        return (
            f"{len(self.runs)} runs, {len(self.pending)} to train" if len(self.runs) > 1 else None
        )

    def config_yaml(self) -> str:
        settings = asdict(self.config)
        return yaml_of({**settings, "runs": len(self.runs)} if len(self.runs) > 1 else settings)


class ToyPlanner(Planner):
    """Plans runs of the toy. They read no data: the toy draws it from the seed while it trains."""

    def load(self, config: ToyConfig) -> None:
        return None

    def data_key(self, config: ToyConfig) -> str:
        return ""

    def try_build(self, config: ToyConfig, data: None) -> bool:
        """Builds nothing, since the population is built when the runs to train are known. Logs the
        axes that a single value replaces."""
        for line in idle_axes(config):
            say(line)
        return True

    def describe(self, config: ToyConfig, data: None) -> str:
        return "Gaussian views of the seed, drawn while training"

    def fingerprint(self, data: None) -> str:
        return ""

    def plan(self, config: ToyConfig, fingerprint: str) -> ToyPlan:
        """Raises UserError for more runs or larger ones than the memory holds."""
        require_memory(config, bytes_needed)
        return plan_toy(config)


def plan_toy(config: ToyConfig) -> ToyPlan:
    """Returns the runs with their ids. Reads and writes no file."""
    runs = []
    for member in members(config):
        identity = run_id(identity_keys(member), "")
        runs.append(ToyRun(member, identity, RunDir(config.runs_dir, config.name, identity)))
    if len(runs) == 1:
        return ToyPlan(config, runs[0].dir, runs)
    grid = run_id({"runs": sorted(run.run_id for run in runs)}, "")
    return ToyPlan(config, RunDir(config.runs_dir, config.name, f"grid-{grid}"), runs)


def finished(run: RunDir) -> bool:
    """Returns whether the run is completed with metrics. Raises UserError if it has another version
    of the results."""
    status, summary = run.status(), run.summary()
    if status is None or status.get("state") != "completed":
        return False
    if summary is None or not summary["metrics"]:
        return False
    run.require_this_version(status)
    return True


def yaml_of(settings: Mapping[str, Any]) -> str:
    """Returns one YAML line for each key. The values are JSON, which is valid YAML."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())


PLANNER = ToyPlanner()
