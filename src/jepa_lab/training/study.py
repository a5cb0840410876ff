"""What a study brings to a run, and the parts and the session that a run hands it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl

from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult
from jepa_lab.ledger.parquet import History, ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.process.stop import Stop
from jepa_lab.training.frame import Budget
from jepa_lab.training.preflight import Preflight


@dataclass(frozen=True)
class Parts:
    """What is built before anything is written, so that a configuration that cannot be built leaves nothing behind."""

    loaders: dict[str, Any]  # train, val, test
    budget: Budget
    module: Any  # the LightningModule


@dataclass(frozen=True)
class Session:
    """One run while it is at it. data: its images or tasks; checkpoint: what it goes on from; preflight: for
    summary.json."""

    config: Any
    data: Any
    parts: Parts
    run: RunDir
    stop: Stop
    checkpoint: Path | None
    preflight: dict[str, Any] | None


class Study(Protocol):
    """The functions of a study's module."""

    def prepare(self, config: Any, data: Any) -> Parts:
        """Builds loaders and module on seeded streams. UserError for sizes that do not fit."""

    def preflight(self, config: Any, data: Any, parts: Parts) -> Preflight:
        """Seconds of checks on what was built; changes nothing of it."""

    def callbacks(self, session: Session, ledger: ParquetLedger) -> list[pl.Callback]:
        """In the order they act, a Saver and a Gates among them."""

    def best_key(self, config: Any, data: Any) -> str:
        """The validation metric that chooses best.ckpt."""

    def protocol(self, config: Any, data: Any) -> dict[str, Any]:
        """What the figures of the run stand on."""

    def remark(self, data: Any, parts: Parts) -> str | None:
        """A line to say before training, or None."""

    def show_outcome(
        self,
        session: Session,
        history: History,
        verdict: Verdict,
        gates: list[GateResult],
        callbacks: list[pl.Callback],
    ) -> None:
        """Draws the figures, writes the page, prints table and verdict."""
