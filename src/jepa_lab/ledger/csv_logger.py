"""Lightning's CSVLogger for runs that may be resumed."""

from __future__ import annotations

import warnings
from itertools import groupby
from typing import Any

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from jepa_lab.ledger.parquet import ParquetLedger


class ResumableCSVLogger(CSVLogger):
    """Writes `csv/metrics.csv` in the run's folder. Lightning's logger deletes the file of an
    earlier session. This one writes the rows that the ledger kept of it again.

    It must log before the ledger does.
    """

    def __init__(self, folder: str, ledger: ParquetLedger) -> None:
        super().__init__(folder, name="", version="csv")
        self._ledger = ledger
        self._restored = False

    @property
    def experiment(self) -> Any:
        """The writer of Lightning. It warns that the file of an earlier session will be deleted."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*will be deleted when the new ones")
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Records `metrics`, after the rows of an earlier session."""
        if not self._restored:
            self._restored = True
            self.experiment.metrics.extend(rows_of(self._ledger))
        super().log_metrics(metrics, step)


def rows_of(ledger: ParquetLedger) -> list[dict[str, float]]:
    """Returns one mapping for each call of `append`, as CSVLogger keeps them."""
    entries = ledger.table().to_pylist()
    calls = groupby(entries, key=lambda row: (row["step"], row["epoch"], row["time"]))
    return [
        {"epoch": epoch, "step": step, **{row["key"]: row["value"] for row in rows}}
        for (step, epoch, _), rows in calls
    ]
