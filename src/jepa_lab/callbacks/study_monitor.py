"""StudyMonitor: what the monitors of our own studies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from jepa_lab.config.extensions import MetricOptions
from jepa_lab.monitor.statistics import TapStatistics


class StudyMonitor(pl.Callback):
    """Keeps the user-defined metrics and the cost. The verdict of a run comes from its ledger."""

    def __init__(self, metrics: Mapping[str, MetricOptions] | None = None) -> None:
        self.metrics = metrics or {}
        self.seconds = 0.0

    def new_tap(self, name: str) -> TapStatistics:
        """Returns empty statistics for the features of this name."""
        return TapStatistics(
            {metric: options for metric, options in self.metrics.items() if name in options.taps}
        )

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]
