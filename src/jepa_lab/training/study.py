"""What a study brings to a run. `training.run.train` is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from jepa_lab.config.run_config import RunConfig
from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.errors import NonFinite, StoppedByVerdict
from jepa_lab.ledger.parquet import History, ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.stop import StopRequest
from jepa_lab.training.budget import Budget
from jepa_lab.training.loggers import Loggers
from jepa_lab.training.plan import Planner
from jepa_lab.training.preflight import Preflight


@dataclass(frozen=True)
class Parts:
    """What is built before anything is written, so that a configuration that cannot be built leaves
    nothing behind."""

    loaders: dict[str, Any]  # train, val, test
    budget: Budget
    module: Any  # the LightningModule


@dataclass
class Session:
    """A run between its start and its end. `parts`: None where the study builds while it fits;
    `checkpoint`: what the run resumes from; `preflight`: for summary.json; `ledger`: None where the
    study keeps its own table."""

    plan: Any  # a RunPlan, or a study's own kind of it
    data: Any
    parts: Any
    stop: StopRequest
    checkpoint: Any = None
    preflight: dict[str, Any] | None = None
    ledger: ParquetLedger | None = None
    loggers: Loggers = field(default_factory=Loggers)
    brief: bool = False

    @property
    def config(self) -> Any:
        """The checked configuration."""
        return self.plan.config

    @property
    def run(self) -> RunDir:
        """The folder of the run, of a grid that of all its runs."""
        return self.plan.home


@dataclass
class Fit:
    """What training left: metrics by key; seconds; the failure that ended it, if one did; the
    callbacks, whose results the outcome shows."""

    history: History
    wall_s: float
    module: Any
    failure: NonFinite | StoppedByVerdict | None = None
    callbacks: list[Any] = field(default_factory=list)
    gates: list[GateResult] = field(default_factory=list)


class Study(Planner):
    """A family of experiments. The methods are called in the order in which they stand."""

    remedies: Remedies = Remedies()

    def threads(self, config: RunConfig) -> int:
        """Threads of torch."""
        return config.hardware.threads or 1

    def preview(self, config: Any, rows: int) -> Any:
        """A figure of what the model would see, `rows` examples; None for a study without any."""
        return None

    def unmeasured(self, config: Any, metric: str) -> str:
        """Why runs of this configuration will have no value of a validation metric; "" where they
        will."""
        return ""

    @abstractmethod
    def prepare(self, config: Any, data: Any) -> Any:
        """Builds on seeded streams what can be built before the run's folder is touched. UserError
        for sizes that do not fit."""

    def preflight(self, config: Any, data: Any, parts: Any) -> Preflight | None:
        """Seconds of checks on what was built, which they do not change; None for a study without.
        Seconds of checks on what was built, which they do not change; None for a study without."""
        return None

    def checkpoint(self, plan: Any) -> Any:
        """What an unfinished run resumes from; None where nothing can be used. UserError for a
        damaged one."""
        return None

    def open_ledger(self, run: RunDir, resumed: bool) -> ParquetLedger | None:
        """Where the metrics of the run go."""
        return None

    def open_loggers(self, session: Session) -> AbstractContextManager[Loggers]:
        """The loggers of the run, closed with the state that it deserves."""
        return nullcontext(Loggers())

    @abstractmethod
    def config_yaml(self, session: Session) -> str:
        """config.yaml of the run, every derived value written down."""

    @abstractmethod
    def fit(self, session: Session) -> Fit:
        """Trains, or resumes, and evaluates. RunStopped where it was asked to stop."""

    @abstractmethod
    def judge(self, session: Session, fit: Fit) -> Verdict:
        """The verdict on the run."""

    @abstractmethod
    def summarise(self, session: Session, fit: Fit, verdict: Verdict) -> dict[str, Any]:
        """Writes summary.json and returns its content."""

    @abstractmethod
    def show_outcome(
        self, session: Session, fit: Fit, verdict: Verdict, summary: dict[str, Any]
    ) -> None:
        """Draws the figures, writes the page, prints the table, the verdict and where everything
        is."""

    @abstractmethod
    def show_finished(self, plan: Any, brief: bool) -> dict[str, Any]:
        """Prints what a finished run came to and returns its summary; what a kill left undrawn is
        drawn."""
