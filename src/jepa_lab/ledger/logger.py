"""The Lightning logger over the ledger. Kept apart: importing Lightning takes seconds, and readers
do not need it."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from jepa_lab.ledger.parquet import ParquetLedger


class ParquetLogger(Logger):
    """Hands what Lightning logs to a `ParquetLedger`, on rank 0 only; the key `epoch` becomes the
    column."""

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
        """Nothing: the run's config.yaml already has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append `metrics`; without a step or an epoch the last one seen counts. Lightning passes
        both by keyword."""
        values = dict(metrics)
        self._epoch = int(values.pop("epoch", self._epoch))
        self._step = self._step if step is None else step
        if values:
            self.ledger.append(self._step, self._epoch, values)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is still in memory, however the run ended."""
        self.ledger.flush(force=True)
