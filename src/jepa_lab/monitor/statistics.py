"""Measurements of one tap over a pass, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from jepa_lab.config.extensions import MetricOptions
from jepa_lab.metrics import CollapseStatistics, view_metrics

MAX_ROWS = 4096  # kept rows of a tap, for metrics that need the rows themselves


# of the metrics over views, those that tokens have too: tokens are parts of different content, and
# what they have in common says nothing
OF_TOKENS = ("views", "place_spread", "place_cosine")


class TapStatistics:
    """Measurements of one tap over an evaluation pass. They are statistics of all rows, metrics
    over views of the first images, and user-defined `metrics` of the first rows. With `tokens`,
    features (n, v, d) are v tokens of an image and no views. With `ragged`, v may change, and then
    there are no metrics over views."""

    def __init__(
        self,
        metrics: Mapping[str, MetricOptions] | None = None,
        tokens: bool = False,
        ragged: bool = False,
    ) -> None:
        self.metrics = metrics or {}
        self.tokens, self.ragged = tokens, ragged
        self.uneven = False  # whether the number of views or tokens has changed
        self._rows = FirstRows(MAX_ROWS if self.metrics else 0)
        self.statistics = CollapseStatistics()
        self.samples = 0  # rows of the first dimension
        self._views = FirstRows(MAX_ROWS // 2)

    def update(self, features: Tensor) -> None:
        """Adds (n, d) or (n, v, d) features. Raises ValueError if d, or v > 1, differs from
        before."""
        features = features.detach()
        if self.statistics.d not in (0, features.shape[-1]):
            raise ValueError(
                f"{self.statistics.d} dimensions before, now shape {tuple(features.shape)}"
            )
        self.samples += len(features)
        self.statistics.update(features.flatten(0, -2))
        self._rows.update(features.flatten(0, -2))
        if features.ndim == 3 and features.shape[1] >= 2 and not self.uneven:
            self.uneven = self.ragged and self._views.shape not in (None, features.shape[1:])
            if not self.uneven:
                self._views.update(features)

    def merge(self, other: TapStatistics) -> None:
        """Adds all that `other` has seen, as of another process. Raises ValueError for another
        width."""
        self.samples += other.samples
        self.statistics.merge(other.statistics)
        self.uneven = self.uneven or other.uneven
        for mine, rows in ((self._rows, other._rows), (self._views, other._views)):
            kept = rows.all()
            if kept is None:
                continue
            if mine.shape not in (None, rows.shape):
                self.uneven = True
            else:
                mine.update(kept)

    def values(self) -> dict[str, float]:
        """Returns {metric: value}, including n and d. Rank and spread are NaN if the features are
        not finite. A single row has only n and d. Undefined values (alpha_req of few points) and
        infinite ones (a condition number, whose eigenvalue_ratio is 0) are left out."""
        size = {"n": float(self.statistics.n), "d": float(self.statistics.d)}
        if self.statistics.n < 2:
            return size
        values = self.statistics.values()
        if not self.statistics.finite:
            return values
        views = None if self.uneven else self._views.all()
        if views is not None and len(views) >= 2:
            found = view_metrics(views)
            values |= {k: found[k] for k in OF_TOKENS} if self.tokens else found
        rows = self._rows.all()
        if rows is not None:
            values |= {name: float(options.measure(rows)) for name, options in self.metrics.items()}
        return {**{name: value for name, value in values.items() if math.isfinite(value)}, **size}


class FirstRows:
    """The first `limit` rows of several batches."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._n = 0
        self._kept: list[Tensor] = []

    @property
    def shape(self) -> torch.Size | None:
        """The shape of a row, None before the first."""
        return self._kept[0].shape[1:] if self._kept else None

    def update(self, rows: Tensor) -> None:
        """Keeps rows while there is room. Raises ValueError for rows of another shape than
        before."""
        if self._kept and rows.shape[1:] != self._kept[0].shape[1:]:
            raise ValueError(
                f"rows of shape {tuple(self._kept[0].shape[1:])} before, now"
                f" {tuple(rows.shape[1:])}"
            )
        if self._n < self.limit:
            self._kept.append(rows[: self.limit - self._n].detach().clone())
            self._n += len(self._kept[-1])

    def all(self) -> Tensor | None:
        """Returns the kept rows in order, or None before the first row."""
        return torch.cat(self._kept) if self._kept else None
