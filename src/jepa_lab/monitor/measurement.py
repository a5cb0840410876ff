"""One measurement: the rows of a few batches, by tap."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch

from jepa_lab.config.extensions import MetricOptions
from jepa_lab.monitor.features import as_features, chosen
from jepa_lab.monitor.ranks import gathered, merged
from jepa_lab.monitor.statistics import TapStatistics

# of features whose products leave the range of float64
UNMEASURABLE = {"effective_rank": math.nan, "feature_std_l2": math.nan}


class Measurement:
    """Collects the rows of named features until `values` is called.

    `n` is the number of samples of a tap that are kept, None for all. With `ranks`, the rows of all
    processes count. `left_out` has the names that were no features.
    """

    def __init__(
        self,
        n: int | None,
        role: Mapping[str, str],
        taps: Collection[str] | None,
        metrics: Mapping[str, MetricOptions],
        ranks: bool,
    ) -> None:
        self.n, self.role, self.taps, self.metrics, self.ranks = n, role, taps, metrics, ranks
        self.strict = True  # whether every batch has to have all of `taps`
        self.left_out: set[str] = set()
        self._taps: dict[str, TapStatistics] = {}

    def add(
        self, features: Mapping[str, Any], suffix: str = "", widths: Mapping[str, int] | None = None
    ) -> None:
        """Adds a batch. Its rows are copied. `widths` are those of earlier measurements. Raises
        ValueError with the name of features that do not fit."""
        if not isinstance(features, Mapping):
            raise ValueError(
                f"expected a mapping {{name: features}}, got {type(features).__name__}"
            )
        found = chosen(features, self.taps, self.role, self.strict)
        self.left_out |= {str(name) for name in features if str(name) not in found}
        for name, value in found.items():
            z, role = as_features(name, value, self.role.get(name))
            known = (widths or {}).get(name + suffix, z.shape[-1])
            if known != z.shape[-1]:
                raise ValueError(
                    f"features {name + suffix!r}: {known} dimensions in earlier measurements, now"
                    f" shape {tuple(z.shape)}; use another Monitor for another network"
                )
            tap = self._taps.setdefault(name + suffix, self._new_tap(name, role))
            room = None if self.n is None else max(self.n - tap.samples, 0)
            if room == 0 or len(z) == 0:
                continue
            try:
                # a copy: the tensor may be written to later, or be a part of a large one
                tap.update(z[:room].to("cpu" if self.ranks else z.device, copy=True))
            except ValueError as error:
                raise ValueError(f"features {name + suffix!r}: {error}") from None

    def __bool__(self) -> bool:
        return bool(self._taps)

    def is_full(self) -> bool:
        """Returns whether all taps have n samples, of all processes together."""
        if self.n is None:
            return True
        counts = [{name: tap.samples for name, tap in self._taps.items()}]
        if self.ranks:
            counts = gathered(counts[0])
        totals: dict[str, int] = {}
        for part in counts:
            for name, samples in part.items():
                totals[name] = totals.get(name, 0) + samples
        return bool(totals) and min(totals.values()) >= self.n

    def values(self) -> dict[str, float]:
        """Returns {tap/metric: value} of all rows, and starts anew."""
        taps = merged(self._taps) if self.ranks else self._taps
        self._taps = {}
        return {f"{name}/{k}": v for name, tap in taps.items() for k, v in _values(tap).items()}

    def clear(self) -> None:
        """Drops the rows."""
        self._taps = {}

    def _new_tap(self, name: str, role: str) -> TapStatistics:
        mine = {metric: o for metric, o in self.metrics.items() if name in o.taps}
        return TapStatistics(mine, tokens=role == "tokens", ragged=True)


def _values(tap: TapStatistics) -> dict[str, float]:
    try:
        return tap.values()
    except torch.linalg.LinAlgError:  # values of 1e160 and more
        return {**UNMEASURABLE, "n": float(tap.statistics.n), "d": float(tap.statistics.d)}
