"""The folder of one run: where its files lie, and the state it is in."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jepa_lab import RESULTS_VERSION, __version__
from jepa_lab.errors import UserError
from jepa_lab.ledger.atomic import write_atomic, write_json

STATES = ("running", "completed", "stopped", "failed")


class RunDir:
    """`runs_dir/experiment/run_id`. Naming it touches nothing on disk; `create` makes it."""

    def __init__(self, runs_dir: Path | str, experiment: str, run_id: str) -> None:
        self.runs_dir = Path(runs_dir)
        self.experiment = experiment
        self.run_id = run_id
        self.path = self.runs_dir / experiment / run_id
        self.checkpoints = self.path / "checkpoints"
        self.figures = self.path / "figures"
        self.config_path = self.path / "config.yaml"
        self.status_path = self.path / "status.json"
        self.metrics_path = self.path / "metrics.parquet"
        self.summary_path = self.path / "summary.json"

    def create(self, config_yaml_text: str) -> "RunDir":
        """Make the folder and write config.yaml; what a killed writer left half-done goes. UserError if impossible."""
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            self.figures.mkdir(exist_ok=True)
            for leftover in self.path.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)
            write_atomic(self.config_path, config_yaml_text)
        except OSError as error:
            place = error.filename or self.path
            reason = error.strerror or str(error)
            problem = f"runs_dir={self.runs_dir}: cannot write {place} ({reason})"
            raise UserError(f"{problem}; give a folder that can be written to") from None
        return self

    def write_status(self, state: str, reason: str | None = None) -> None:
        """Write status.json. `started` is the first start and survives a resume; `finished` is null while it runs."""
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}, got {state!r}")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        previous = self.status() or {}
        status = {
            "state": state,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "reason": reason,
            "started": previous.get("started") or now,
            "finished": None if state == "running" else now,
            "pid": os.getpid(),
            "host": platform.node(),
            "versions": versions(),
        }
        write_json(self.status_path, status)

    def status(self) -> dict[str, Any] | None:
        """What status.json says; None where there is none, or where it is not the JSON object that we write."""
        try:
            status = json.loads(self.status_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return status if isinstance(status, dict) else None


def versions() -> dict[str, Any]:
    """Versions of what computed the run, read from the installed metadata without importing anything heavy."""
    installed = {name: _installed(name.replace("_", "-")) for name in ("torch", "pytorch_lightning")}
    return {
        "jepa_lab": __version__,
        **installed,
        "python": platform.python_version(),
        "results_version": RESULTS_VERSION,
    }


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
