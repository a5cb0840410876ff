"""The metrics of the collapse monitor for one tap. All families share their decompositions."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics import coordinates, spectrum
from jepa_lab.metrics.alignment import alignment, invariance_error, lidar, uniformity, within_share
from jepa_lab.metrics.arrays import Array, held
from jepa_lab.metrics.scale import unit_rows
from jepa_lab.metrics.streaming import Moments
from jepa_lab.metrics.subspace import explained_variance
from jepa_lab.metrics.variance_parts import indexed, place_cosine, place_spread, view_correlation

UNIFORMITY_ROWS = 512  # few, since uniformity takes all pairs
# Rows are joined to chunks of this size before they are added to the moments, so that one matrix
# product replaces many.
CHUNK = 4096


def collapse_metrics(z: Array) -> dict[str, float]:
    """Returns rank, scale and agreement of (n, d) features by name, and n, on which every rank
    depends.

    uniformity is computed from at most 512 rows, evenly spaced over the sample. Raises ValueError
    unless n >= 2 and all values are finite.
    """
    statistics = CollapseStatistics()
    statistics._fold(spectrum.check_features(z))
    return statistics.values()


class CollapseStatistics:
    """Computes collapse_metrics of rows that arrive in batches.

    Memory is d^2 for the moments plus at most 4096 rows. With more rows than that, uniformity uses
    512 of the first 4096. The result does not depend on the batch sizes.
    """

    def __init__(self) -> None:
        # false after the first row that is not finite; later rows are ignored
        self.finite = True
        self._waiting: list[Tensor] = []
        self._moments = Moments()
        self._directions = Moments(diagonal=True)  # of the rows scaled to length 1
        self._length = 0.0
        self._sample: Tensor | None = None

    @property
    def n(self) -> int:
        """The number of rows added so far."""
        return self._moments.n + sum(map(len, self._waiting))

    @property
    def d(self) -> int:
        """The number of features, 0 before the first row."""
        return self._waiting[0].shape[1] if self._waiting else self._moments.d

    def update(self, z: Array) -> None:
        """Adds (n, d) rows. They are held until there are 4096."""
        self._waiting.append(held(z))
        while sum(map(len, self._waiting)) >= CHUNK:
            rows = torch.cat(self._waiting)
            self._waiting = [rows[CHUNK:].clone()] if len(rows) > CHUNK else []
            self._take(rows[:CHUNK])

    def merge(self, other: CollapseStatistics) -> None:
        """Adds all rows of `other`, as of another process. uniformity keeps the sample that came
        first. Raises ValueError for another width."""
        if self.d and other.d and self.d != other.d:
            raise ValueError(f"{self.d} dimensions here, {other.d} there")
        for rows in other._waiting:
            self.update(rows)
        self.finite = self.finite and other.finite
        self._moments.merge(other._moments)
        self._directions.merge(other._directions)
        self._length += other._length
        self._sample = other._sample if self._sample is None else self._sample

    def values(self) -> dict[str, float]:
        """Returns the metrics by name.

        If any row was not finite, the only entries are effective_rank and feature_std_l2, both NaN.
        alpha_req may be NaN. condition_number and mean_to_std_ratio may be infinite. Raises
        ValueError for n < 2.
        """
        if self._waiting:
            rows, self._waiting = torch.cat(self._waiting), []
            self._take(rows)
        if not self.finite:
            return {"effective_rank": float("nan"), "feature_std_l2": float("nan")}
        moments, directions = self._moments, self._directions
        if moments.n < 2 or self._sample is None:
            raise ValueError(f"expected at least 2 rows of features, got {moments.n}")
        n, d = moments.n, moments.d
        decomposed = moments.spectrum()
        r, share = spectrum.spectral_cliff(decomposed)
        # |sum of unit rows|^2 / n, and the sum of their squared lengths
        together = directions.mean.square().sum() * n
        lengths = directions.scatter.sum() + together
        values: dict[str, Tensor | float] = {
            "rankme": spectrum.rankme(decomposed),
            "effective_rank": spectrum.effective_rank(decomposed),
            "participation_ratio": spectrum.participation_ratio(decomposed),
            "stable_rank": spectrum.stable_rank(decomposed),
            "nesum": spectrum.nesum(decomposed),
            "eigenvalue_ratio": spectrum.eigenvalue_ratio(decomposed),
            "condition_number": spectrum.condition_number(decomposed),
            "alpha_req": spectrum.alpha_req(decomposed),
            "spectral_cliff_r": r,
            "spectral_cliff_share": share,
            "top_direction_share": explained_variance(decomposed, 1),
            "top_share": coordinates.top_share(moments),
            "dead_share": coordinates.dead_share(moments),
            "feature_std": (moments.variance * (n / (n - 1))).sqrt().mean(),
            "feature_std_min": coordinates.feature_std_min(moments),
            "feature_std_l2": (directions.variance * (n / (n - 1))).sqrt().mean() * d**0.5,
            "mean_to_std_ratio": coordinates.mean_to_std_ratio(moments),
            "off_diagonal_correlation": coordinates.off_diagonal_correlation(moments),
            "mean_pairwise_cosine": (together * n - lengths) / (n * (n - 1)),
            "norm": self._length / n,
            "uniformity": uniformity(self._sample),
            "n": n,
        }
        return {name: float(value) for name, value in values.items()}

    def _fold(self, z: Tensor) -> None:
        self._moments.update(z)
        rows = z.cpu() if z.device.type == "mps" else z
        rows = rows.double()
        unit = unit_rows(rows)
        self._directions.update(unit)
        self._length += float(rows.norm(dim=1).sum())
        if self._sample is None:
            some = torch.linspace(
                0, len(rows) - 1, min(len(rows), UNIFORMITY_ROWS), dtype=torch.float32
            ).long()
            self._sample = rows[some.to(rows.device)]

    def _take(self, rows: Tensor) -> None:
        self.finite = self.finite and bool(torch.isfinite(rows).all())
        if self.finite:
            self._fold(rows)


def view_metrics(z: Array) -> dict[str, float]:
    """Returns metrics of (n, v, d) features of v >= 2 views by name: within_share, lidar, the
    number of views, view_correlation, place_spread and place_cosine (see `variance_parts`), and
    alignment and invariance_error of the first two views."""
    z = spectrum.check_features(z, dims=3)
    rows, image, place = indexed(z)
    values: dict[str, Tensor | float] = {
        "within_share": within_share(z),
        "lidar": lidar(z),
        "alignment": alignment(z[:, 0], z[:, 1]),
        "invariance_error": invariance_error(z[:, 0], z[:, 1]),
        "view_correlation": view_correlation(rows, image, place),
        "place_spread": place_spread(rows, place),
        "place_cosine": place_cosine(rows, place),
        "views": z.shape[1],
    }
    return {name: float(value) for name, value in values.items()}
