"""The five numbers of summary.json of metrics that were all logged at the same steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from jepa_lab.ledger.summary import Summary


def summarise_columns(steps: np.ndarray, columns: Mapping[str, np.ndarray]) -> Summary:
    """Returns what `ledger.summary.summarise` does, for metrics (n,) that were all logged at the
    same steps (n,), n > 0."""
    return {key: _extrema(steps, values) for key, values in columns.items()}


def _extrema(steps: np.ndarray, values: np.ndarray) -> dict[str, float | int | None]:
    last = float(values[-1])
    numbers = np.flatnonzero(~np.isnan(values))
    if not len(numbers):
        return {"last": last, "min": None, "max": None, "min_step": None, "max_step": None}
    known = values[numbers]
    low, high = numbers[known.argmin()], numbers[known.argmax()]  # the first on a tie
    return {
        "last": last,
        "min": float(values[low]),
        "max": float(values[high]),
        "min_step": int(steps[low]),
        "max_step": int(steps[high]),
    }
