"""The interface of a study. `training.run.train` is the same for all studies."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jepa_lab.callbacks.state_ring import State
from jepa_lab.config.run_config import RunConfig
from jepa_lab.diagnosis import Examination, Verdict
from jepa_lab.diagnosis.gates import GateResult
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.errors import NonFinite, StoppedByVerdict
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.ledger.parquet import History, ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.stop import StopRequest
from jepa_lab.report.diagnosis import Composes
from jepa_lab.training.budget import Budget
from jepa_lab.training.loggers import Loggers
from jepa_lab.training.place import Place
from jepa_lab.training.preflight import Preflight
from jepa_lab.training.resume import Planner


@dataclass(frozen=True)
class Parts:
    """The parts built before anything is written, so that a configuration that cannot be built
    leaves no files."""

    loaders: dict[str, Any]  # train, val, test
    budget: Budget
    module: Any  # the LightningModule


def unchecked(line: CommandLine) -> bool:
    """Returns False: without a check no command line is suggested."""
    return False


@dataclass
class Session:
    """A run between its start and its end.

    - `plan` is a RunPlan or a subclass of it from the study.
    - `parts` is None if the study builds them in `fit`.
    - `checkpoint` is the checkpoint to resume from.
    - `preflight` is the entry for summary.json.
    - `ledger` is None if the study keeps a table of its own, and in all but the first of several
      processes.
    - `place` is the place of this process among those that train the run.
    - `composes` says whether a command line is valid, so that the page can suggest it.
    """

    plan: Any
    data: Any
    parts: Any
    stop: StopRequest
    checkpoint: Any = None
    preflight: dict[str, Any] | None = None
    ledger: ParquetLedger | None = None
    loggers: Loggers = field(default_factory=Loggers)
    brief: bool = False
    place: Place = field(default_factory=Place)
    composes: Composes = unchecked

    @property
    def config(self) -> Any:
        """The checked configuration."""
        return self.plan.config

    @property
    def run(self) -> RunDir:
        """The folder of the run. For a grid it is the folder of all its runs."""
        return self.plan.home


@dataclass
class Fit:
    """The result of training. `history` holds the metrics by key. `failure` is the exception that
    ended training, if any. `callbacks` are the callbacks of the training, whose results
    show_outcome prints."""

    history: History
    wall_s: float
    module: Any
    failure: NonFinite | StoppedByVerdict | None = None
    callbacks: list[Any] = field(default_factory=list)
    gates: list[GateResult] = field(default_factory=list)


class Study(Planner):
    """A family of experiments. The methods are called in the order of their definition."""

    remedies: Remedies = Remedies()

    def threads(self, config: RunConfig) -> int:
        """Returns the number of torch threads."""
        return config.hardware.threads or 1

    def preview(self, config: Any, rows: int) -> Any:
        """Returns a figure of `rows` examples as the model sees them, None for a study without a
        preview."""
        return None

    def unmeasured(self, config: Any, metric: str) -> str:
        """Returns why runs of this configuration have no value of a validation metric, "" if they
        have one."""
        return ""

    @abstractmethod
    def prepare(self, config: Any, data: Any) -> Any:
        """Builds the parts on seeded random streams, before the run's folder is touched. Raises
        UserError for sizes that do not fit."""

    def preflight(self, config: Any, data: Any, parts: Any) -> Preflight | None:
        """Checks the parts for a few seconds without changing them. Returns None for a study
        without checks."""
        return None

    def checkpoint(self, session: Session) -> Any:
        """Returns the checkpoint that an unfinished run resumes from, None if there is no usable
        one. Raises UserError for a damaged one, and for one that does not fit the run."""
        return None

    def open_ledger(self, session: Session) -> ParquetLedger | None:
        """Returns the ledger for the metrics of the run, None if the study keeps a table of its
        own. Raises UserError if it is damaged or is not the ledger of the checkpoint."""
        return None

    def open_loggers(self, session: Session) -> AbstractContextManager[Loggers]:
        """Returns the loggers of the run as a context that closes them with the run's final
        state."""
        return nullcontext(Loggers())

    @abstractmethod
    def config_yaml(self, session: Session) -> str:
        """Returns config.yaml of the run with all derived values filled in."""

    @abstractmethod
    def fit(self, session: Session) -> Fit:
        """Trains the run, or resumes it, and evaluates it. Raises RunStopped if a stop was
        requested."""

    @abstractmethod
    def judge(self, session: Session, fit: Fit) -> Verdict:
        """Returns the verdict on the run."""

    @abstractmethod
    def summarise(self, session: Session, fit: Fit, verdict: Verdict) -> dict[str, Any]:
        """Writes summary.json and returns its content."""

    @abstractmethod
    def show_outcome(
        self, session: Session, fit: Fit, verdict: Verdict, summary: dict[str, Any]
    ) -> None:
        """Draws the figures, writes the page, and prints the table, the verdict and the paths of
        the results."""

    def lost_metrics(self, session: Session, fit: Fit, summary: dict[str, Any]) -> str | None:
        """Returns why a run that trained to its end does not count as completed: metrics are
        missing. None if they are there."""
        return None if summary["metrics"] else f"{session.run.path}: no metrics were written"

    def keep(self, session: Session, verdict: Verdict) -> None:
        """Removes what a completed run no longer needs from its folder."""

    def states(self, folder: Path) -> list[State]:
        """Returns the states of a run from which a branch can start, the oldest first. A study
        without branches has none."""
        return []

    def line_of(self, folder: Path) -> CommandLine | None:
        """Returns a command line of an ended run that has none in its folder, such as a member of a
        grid. None if the study cannot derive one."""
        return None

    @abstractmethod
    def examination(self, folder: Path, config: Any) -> Examination:
        """Returns the verdict on an ended run with everything that it was chosen from."""

    def curves(self, tap: str | None) -> Sequence[str]:
        """Returns the metrics that the figure of an investigation shows, for a failure at a tap."""
        return (f"val/{tap or 'z_agg'}/effective_rank", "val/skill")

    def of_trials(self, status: str) -> list[str]:
        """Returns overrides of how a trial of an investigation is run. They are no part of its
        identity. A trial that shows the failure `status` may end early."""
        return []

    @abstractmethod
    def draw(self, folder: Path, composes: Composes) -> Path:
        """Draws the figures and the page of a run's folder, and returns the path of the page.
        Raises UserError if the metrics are missing or damaged."""

    @abstractmethod
    def require_metrics(self, plan: Any) -> None:
        """Raises UserError, which names the file, if the metrics of a finished run are missing,
        damaged or of another run."""

    @abstractmethod
    def show_finished(self, plan: Any, brief: bool) -> dict[str, Any]:
        """Prints the result of a finished run and returns its summary. Draws figures that are
        missing after a kill."""
