"""The Lightning logger that writes to the ledger. It is a module of its own, since importing
Lightning takes seconds and readers of the ledger do not need it."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from jepa_lab.ledger.parquet import ParquetLedger


class ParquetLogger(Logger):
    """Passes the values that Lightning logs to a `ParquetLedger`, on rank 0 only. The key `epoch`
    becomes the column epoch."""

    def __init__(self, ledger: ParquetLedger, name: str = "", version: str = "") -> None:
        super().__init__()
        self.ledger = ledger
        self._name = name
        self._version = version
        self._step = 0
        self._epoch = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return self._version

    @rank_zero_only
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Does nothing: the run's config.yaml already has the hyperparameters."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Appends `metrics`. If the step or epoch is missing, the last one passed is used."""
        values = dict(metrics)
        self._epoch = int(values.pop("epoch", self._epoch))
        self._step = self._step if step is None else step
        if values:
            self.ledger.append(self._step, self._epoch, values)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes the rows that are still in memory, however the run ended."""
        self.ledger.flush(force=True)
