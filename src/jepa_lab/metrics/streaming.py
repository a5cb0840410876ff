"""Mean and covariance of features that arrive in batches, in constant memory."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, held
from jepa_lab.metrics.scale import centred, check_finite
from jepa_lab.metrics.spectrum import Spectrum


class Moments:
    """Count `n`, `mean` (d,) and `scatter` of all rows added. `scatter` is the sum of outer
    products of deviations from the mean.

    Each batch is centred at its own mean in float64 and then joined (Chan, Golub & LeVeque 1983),
    so that a large common mean costs no precision. Memory is 8 d^2 bytes (32 MiB at d = 2048). Rows
    are kept as they are until there are more rows than dimensions. With `diagonal`, scatter is
    (d,), the sums of squares alone, and memory is 16 d bytes.
    """

    def __init__(self, diagonal: bool = False) -> None:
        self.n = 0
        self.diagonal = diagonal
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None
        # Rows that are not yet in the scatter. While n <= d, they need less memory than the
        # scatter.
        self._rows: list[Tensor] = []

    def update(self, z: Array) -> None:
        """Adds (n, d) rows, n >= 1. Raises ValueError for another shape or width, or values that
        are not finite."""
        z = _rows(z)
        if self.n and z.shape[1] != self.d:
            raise ValueError(
                f"expected rows of {self.d} dimensions as before, got {tuple(z.shape)}"
            )
        self._rows.append(z)
        self.n += len(z)
        if self.diagonal or self._scatter is not None or self.n > z.shape[1]:
            self._fold()

    def merge(self, other: Moments) -> None:
        """Adds all rows of `other`, which is not changed. Raises ValueError for another width or
        kind."""
        if other.diagonal != self.diagonal or (self.n and other.n and other.d != self.d):
            kinds = [f"{'diagonal ' if m.diagonal else ''}{m.d}" for m in (self, other)]
            raise ValueError(
                f"expected moments of one kind and width, got {kinds[0]} and {kinds[1]}"
            )
        for rows in other._rows:
            self.update(rows)
        if other._mean is not None and other._scatter is not None:
            self._fold()
            self._join(other.n - sum(map(len, other._rows)), other._mean, other._scatter.clone())

    @property
    def d(self) -> int:
        """The number of dimensions, 0 before the first row."""
        known = self._rows[0][0] if self._rows else self._mean
        return 0 if known is None else len(known)

    @property
    def mean(self) -> Tensor:
        """The mean (d,). Raises ValueError before the first row."""
        return self._parts(diagonal=True)[0]

    @property
    def scatter(self) -> Tensor:
        """n times the biased covariance: (d, d), or (d,) if diagonal. Raises ValueError before the
        first row."""
        return self._parts(self.diagonal)[1]

    @property
    def deviations(self) -> Tensor | None:
        """The rows (n, d) minus their mean while they are held, None once they are in the scatter,
        which is then the smaller of the two."""
        return centred(torch.cat(self._rows)) if self._scatter is None and self._rows else None

    @property
    def variance(self) -> Tensor:
        """The variance of every dimension (d,), divided by n."""
        scatter = self._parts(diagonal=True)[1]
        return scatter.clamp_min(0.0) / self.n

    def spectrum(self) -> Spectrum:
        """Returns the Spectrum of all rows. Raises ValueError for fewer than 2 rows and for
        diagonal moments."""
        if self.diagonal or self.n < 2:
            raise ValueError(
                f"a spectrum needs two rows and a full scatter, got n = {self.n}, diagonal"
                f" {self.diagonal}"
            )
        if self._scatter is None:
            return Spectrum.of(torch.cat(self._rows))
        return Spectrum.of_scatter(self.scatter, self.mean, self.n)

    def _parts(self, diagonal: bool) -> tuple[Tensor, Tensor]:
        """Returns the mean and the scatter, or only its diagonal. For held rows the diagonal costs
        n d instead of n d^2."""
        if self._mean is None or self._scatter is None:
            if not self._rows:
                raise ValueError("no rows were seen")
            return _mean_and_scatter(torch.cat(self._rows), diagonal)[1:]
        return (
            self._mean,
            self._scatter.diagonal() if diagonal and not self.diagonal else self._scatter,
        )

    def _fold(self) -> None:
        if self._rows:
            part = _mean_and_scatter(torch.cat(self._rows), self.diagonal)
            self._rows = []
            self._join(*part, counted=True)

    def _join(self, n: int, mean: Tensor, scatter: Tensor, counted: bool = False) -> None:
        """Joins the moments of n rows. With `counted`, self.n already includes them."""
        before = self.n - n if counted else self.n
        self.n = before + n
        if self._mean is None or self._scatter is None:
            self._mean, self._scatter = mean, scatter
            return
        delta = mean - self._mean
        between = delta.square() if self.diagonal else torch.outer(delta, delta)
        self._scatter += scatter.add_(between, alpha=before * n / self.n)
        self._mean = self._mean + delta * (n / self.n)


def _mean_and_scatter(z: Tensor, diagonal: bool) -> tuple[int, Tensor, Tensor]:
    """Returns n, the mean and the scatter. The mean is taken relative to the first row, so that the
    mean of a constant is exactly this constant."""
    mean = z[0] + (z - z[0]).mean(dim=0)
    rows = centred(z)
    return len(z), mean, rows.square().sum(dim=0) if diagonal else rows.T @ rows


def _rows(z: Array) -> Tensor:
    z = held(z)
    if z.ndim != 2 or z.shape[0] < 1 or z.shape[1] < 1:
        raise ValueError(f"expected rows (n, d), n >= 1, got {tuple(z.shape)}")
    return check_finite(z)
