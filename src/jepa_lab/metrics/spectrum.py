"""Ranks computed from spectra. One decomposition of the centred features serves all of them.

(n, d) features have at most m = min(n - 1, d) centred eigenvalues that can differ from 0.
Everything here is about these m eigenvalues, computed in float64 from the smaller of the (n, n) and
(d, d) Gram matrices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor
from jepa_lab.metrics.scale import centred, check_features

# An eigenvalue of a Gram matrix below this share of the trace is an error of the decomposition, and
# counts as 0.
ROUNDING = 1e-14


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of (n, d) features, all float64, with values below the rounding error set to 0.

    `centred` holds the min(n - 1, d) possible eigenvalues of the covariance (divided by n),
    descending. `uncentred` holds the min(n, d) singular values of the features, descending. `n` and
    `d` are the shape, and `mean` is (d,).
    """

    centred: Tensor
    uncentred: Tensor
    n: int
    d: int
    mean: Tensor

    @staticmethod
    def of(z: Array) -> Spectrum:
        """Returns the spectrum of (n, d) features, n >= 2.

        It computes one Gram matrix, and the eigenvalues of its centred and its uncentred form. The
        two differ by rank one (two for (n, n)). Deriving one set of eigenvalues from the other
        would need eigenvectors, which cost more. Raises ValueError for another shape or values that
        are not finite.
        """
        z = check_features(z)
        n, d = z.shape
        mean, rows = z.mean(dim=0), centred(z)
        if n >= d:
            return Spectrum.of_scatter(rows.T @ rows, mean, n)
        gram, cross = rows @ rows.T, rows @ mean
        uncentred = gram + cross + cross[:, None] + mean.square().sum()
        return Spectrum(_eigenvalues(gram)[: n - 1] / n, _eigenvalues(uncentred).sqrt(), n, d, mean)

    @staticmethod
    def of_scatter(scatter: Array, mean: Array, n: int) -> Spectrum:
        """Returns the spectrum of n rows, given their mean (d,) and the sum of the outer products
        of their deviations (d, d)."""
        scatter, mean, d = as_tensor(scatter), as_tensor(mean), len(mean)
        centred_values = _eigenvalues(scatter)[: min(n - 1, d)] / n
        uncentred_values = _eigenvalues(scatter + n * torch.outer(mean, mean))[: min(n, d)].sqrt()
        return Spectrum(centred_values, uncentred_values, n, d, mean)


def covariance_eigenvalues(z: Array) -> Tensor:
    """Returns Spectrum.of(z).centred alone, at half the cost."""
    z = check_features(z)
    n, d = z.shape
    return _eigenvalues(_gram(centred(z)))[: min(n - 1, d)] / n


def rankme(z: Array | Spectrum) -> Tensor:
    """Returns exp of the entropy of the normalised uncentred singular values (Garrido et al. 2023),
    in [1, min(n, d)].

    It is near 1 for a large common mean, however well the rest is spread, and 1 for a zero matrix.
    """
    return exp_entropy(_spectrum(z).uncentred)


def effective_rank(z: Array | Spectrum) -> Tensor:
    """Returns exp of the entropy of the normalised covariance eigenvalues (Roy & Vetterli 2007), in
    [1, min(n - 1, d)].

    It is 1.0 where nothing varies. It ignores scale: a constant with a little noise has full rank.
    """
    return exp_entropy(_spectrum(z).centred)


def participation_ratio(z: Array | Spectrum) -> Tensor:
    """Returns (sum l)^2 / sum l^2 of the covariance eigenvalues, in [1, min(n - 1, d)]. It is 1
    where nothing varies."""
    values = _relative(_spectrum(z))
    return 1.0 / values.square().sum() if float(values[0]) > 0 else torch.ones_like(values[0])


def stable_rank(z: Array | Spectrum) -> Tensor:
    """Returns sum l / largest l of the covariance eigenvalues, in [1, min(n - 1, d)]. It is 1 where
    nothing varies."""
    values = _relative(_spectrum(z))
    return 1.0 / values[0] if float(values[0]) > 0 else torch.ones_like(values[0])


# the normalised eigenvalue sum of He & Ozay 2022, sum_i l_i / l_1, is the same quantity
nesum = stable_rank


def eigenvalue_ratio(z: Array | Spectrum) -> Tensor:
    """Returns the smallest / largest of the min(n - 1, d) possible covariance eigenvalues, in [0,
    1]. It is 0 where nothing varies."""
    values = _spectrum(z).centred
    return values[-1] / values[0] if float(values[0]) > 0 else torch.zeros_like(values[0])


isotropy = eigenvalue_ratio


def condition_number(z: Array | Spectrum) -> Tensor:
    """Returns the largest / smallest possible covariance eigenvalue, >= 1, and infinite where the
    smallest is 0."""
    return 1.0 / eigenvalue_ratio(z)


def spectral_cliff(z: Array | Spectrum) -> tuple[int, float]:
    """Returns (r, share): the smallest r whose top directions hold all but 1e-4 of the variance,
    and their share of it. It is (0, 1.0) where nothing varies."""
    values = _relative(_spectrum(z))
    if float(values[0]) <= 0:
        return 0, 1.0
    held = values.cumsum(0)
    r = min(int((held < 1.0 - 1e-4).sum()) + 1, len(values))
    return r, float(held[r - 1])


def alpha_req(z: Array | Spectrum, rank_range: tuple[int, int] | None = None) -> Tensor:
    """Returns the decay exponent a of eigenvalue ~ rank^-a (Agrawal et al. 2022).

    It is minus the least-squares slope of ln eigenvalue over ln rank. `rank_range` is (first,
    last), from 1 and inclusive, by default (11, min(n, d) // 2). It is NaN for fewer than 10
    positive points. Raises ValueError unless 1 <= first <= last.
    """
    spectrum = _spectrum(z)
    first, last = rank_range or (11, min(spectrum.n, spectrum.d) // 2)
    if rank_range is not None and not 1 <= first <= last:
        raise ValueError(f"rank_range is (first, last) with 1 <= first <= last, got {rank_range}")
    values = spectrum.centred[first - 1 : max(last, first)]
    rank = torch.arange(first, first + len(values), dtype=torch.float64, device=values.device)
    rank, values = rank[values > 0], values[values > 0]
    if len(values) < 10:
        return torch.tensor(math.nan, dtype=torch.float64, device=values.device)
    x, y = rank.log() - rank.log().mean(), values.log() - values.log().mean()
    return -(x @ y) / (x @ x)


def exp_entropy(values: Tensor) -> Tensor:
    """Returns exp of the entropy of (m,) weights >= 0, normalised to sum 1, in [1, m]. It is 1
    where all weights are 0."""
    total = values.sum()
    if float(total) <= 0:
        return torch.ones_like(total)
    p = values / total
    return torch.exp(-torch.xlogy(p, p).sum())


def _spectrum(z: Array | Spectrum) -> Spectrum:
    return z if isinstance(z, Spectrum) else Spectrum.of(z)


def _relative(spectrum: Spectrum) -> Tensor:
    """Returns the covariance eigenvalues scaled to sum 1, so that their squares neither overflow
    nor vanish. They are zeros where nothing varies."""
    total = spectrum.centred.sum()
    return spectrum.centred / total if float(total) > 0 else spectrum.centred


def _gram(z: Tensor) -> Tensor:
    """Returns the smaller of ZZ' (n, n) and Z'Z (d, d)."""
    return z @ z.T if z.shape[0] < z.shape[1] else z.T @ z


def _eigenvalues(gram: Tensor) -> Tensor:
    """Returns the eigenvalues, descending, with values below the rounding error of the
    decomposition set to 0."""
    values = torch.linalg.eigvalsh(gram).flip(0)
    return torch.where(values > ROUNDING * gram.trace(), values, torch.zeros_like(values))
