"""The runs of a toy's configuration, their folders, and which of them are still to be trained. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import run_id
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.grid import OWNED, identity_keys, members


@dataclass(frozen=True)
class ToyRun:
    """One run: its configuration, its id and its folder."""

    config: ToyConfig
    run_id: str
    dir: RunDir

    def settings(self) -> dict[str, Any]:
        """Every setting of the run, flat: None for constants of another mode; `lr_pred_setting` and `lr_enc_setting`
        as set, None in auto mode; tau and the id."""
        known = identity_keys(self.config)
        flat = {
            k: v for k, v in asdict(self.config).items() if k in known or k in ("lr_enc", "batch_size", "symmetric")
        }
        return {
            **flat,
            **{key: known.get(key) for key in OWNED},
            "lr_pred_setting": self.config.lr_pred,
            "lr_enc_setting": self.config.lr_enc,
            "tau": float(f"{1 - (self.config.ema_m or 0.0):.12g}"),
            "run_id": self.run_id,
        }


@dataclass
class ToyPlan:
    """`home`: the folder of the command, a single run's own or that of the grid; `pending`: what is to be trained."""

    config: ToyConfig
    runs: list[ToyRun]
    home: RunDir
    pending: list[ToyRun] = field(default_factory=list)

    def decide(self) -> list[ToyRun]:
        """Fills `pending` by what the folders say and on_existing asks. UserError for on_existing=error where a run
        exists, and for runs of another version of the results."""
        how = self.config.on_existing
        states = {run.run_id: run.dir.status() for run in self.runs}
        existing = [run.dir.path for run in self.runs if states[run.run_id] is not None]
        if self.home.status() is not None:
            existing.append(self.home.path)
        if how == "error" and existing:
            raise UserError(f"{existing[0]}: this run exists; on_existing=resume or restart goes on")
        self.pending = [run for run in self.runs if how == "restart" or not finished(run.dir)]
        return self.pending

    def state(self) -> str:
        """new, resume, restart or skip, for a table of jobs."""
        if not self.decide():
            return "skip"
        if self.config.on_existing == "restart" and self.home.status() is not None:
            return "restart"
        return "resume" if (self.home.checkpoints / "last.ckpt").is_file() else "new"

    def config_yaml(self) -> str:
        """The configuration of the command; JSON values are YAML."""
        return yaml_of({**asdict(self.config), "runs": len(self.runs)} if len(self.runs) > 1 else asdict(self.config))


def plan_toy(config: ToyConfig) -> ToyPlan:
    """The runs with their ids; nothing on disk is touched."""
    runs = []
    for member in members(config):
        identity = run_id(identity_keys(member), "")
        runs.append(ToyRun(member, identity, RunDir(config.runs_dir, config.name, identity)))
    if len(runs) == 1:
        return ToyPlan(config, runs, runs[0].dir)
    grid = run_id({"runs": sorted(run.run_id for run in runs)}, "")
    return ToyPlan(config, runs, RunDir(config.runs_dir, config.name, f"grid-{grid}"))


def finished(run: RunDir) -> bool:
    """Whether the run is completed. UserError for one of another version of the results."""
    status = run.status()
    if status is None or status.get("state") != "completed" or run.summary() is None:
        return False
    run.require_this_version(status)
    return True


def yaml_of(settings: dict[str, Any]) -> str:
    """A line for each key; JSON values are YAML."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
