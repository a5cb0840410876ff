"""Rank from spectra. One decomposition of the centred features serves the whole family.

(n, d) features have at most m = min(n - 1, d) centred eigenvalues that can differ from 0;
everything here is about those m. All computed in float64, from the smaller of the (n, n) and (d, d)
Gram sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from jepa_lab.metrics.scale import centred, check_features

# of the trace: an eigenvalue of a Gram matrix below this is the decomposition's own noise, counted
# as 0
ROUNDING = 1e-14


@dataclass(frozen=True)
class Spectrum:
    """centred: the min(n - 1, d) possible eigenvalues of the covariance (divided by n), descending;
    uncentred: the min(n, d) singular values of the features, descending; n, d: their shape; mean
    (d,). All float64, rounding as 0."""

    centred: Tensor
    uncentred: Tensor
    n: int
    d: int
    mean: Tensor

    @staticmethod
    def of(z: Tensor) -> Spectrum:
        """Of (n, d) features, n >= 2. ValueError for another shape or values that are not finite.

        One Gram matrix, to which the mean adds rank one (two on the (n, n) side), and two
        eigenvalue problems without vectors: updating the one's solution to the other's would need
        the vectors, which cost more.
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
    def of_scatter(scatter: Tensor, mean: Tensor, n: int) -> Spectrum:
        """Of n rows, known by the sum of the outer products of their deviations (d, d) and their
        mean (d,)."""
        d = len(mean)
        centred_values = _eigenvalues(scatter)[: min(n - 1, d)] / n
        uncentred_values = _eigenvalues(scatter + n * torch.outer(mean, mean))[: min(n, d)].sqrt()
        return Spectrum(centred_values, uncentred_values, n, d, mean)


def covariance_eigenvalues(z: Tensor) -> Tensor:
    """Spectrum.of(z).centred alone, at half its price."""
    z = check_features(z)
    n, d = z.shape
    return _eigenvalues(_gram(centred(z)))[: min(n - 1, d)] / n


def rankme(z: Tensor | Spectrum) -> Tensor:
    """exp of the entropy of the normalised uncentred singular values (Garrido et al. 2023), in [1,
    min(n, d)].

    Near 1 for a large common mean, however well the rest is spread. 1 for a zero matrix.
    """
    return exp_entropy(_spectrum(z).uncentred)


def effective_rank(z: Tensor | Spectrum) -> Tensor:
    """exp of the entropy of the normalised covariance eigenvalues (Roy & Vetterli 2007), in [1,
    min(n - 1, d)].

    1.0 where nothing varies. Blind to scale: a constant with a little noise has full rank.
    """
    return exp_entropy(_spectrum(z).centred)


def participation_ratio(z: Tensor | Spectrum) -> Tensor:
    """(sum l)^2 / sum l^2 of the covariance eigenvalues, in [1, min(n - 1, d)]; 1 where nothing
    varies."""
    values = _relative(_spectrum(z))
    return 1.0 / values.square().sum() if float(values[0]) > 0 else torch.ones_like(values[0])


def stable_rank(z: Tensor | Spectrum) -> Tensor:
    """sum l / largest l of the covariance eigenvalues, in [1, min(n - 1, d)]; 1 where nothing
    varies."""
    values = _relative(_spectrum(z))
    return 1.0 / values[0] if float(values[0]) > 0 else torch.ones_like(values[0])


# the normalised eigenvalue sum of He & Ozay 2022, sum_i l_i / l_1, is the same quantity
nesum = stable_rank


def eigenvalue_ratio(z: Tensor | Spectrum) -> Tensor:
    """Smallest / largest of the min(n - 1, d) possible covariance eigenvalues, in [0, 1]; 0 where
    nothing varies."""
    values = _spectrum(z).centred
    return values[-1] / values[0] if float(values[0]) > 0 else torch.zeros_like(values[0])


isotropy = eigenvalue_ratio


def condition_number(z: Tensor | Spectrum) -> Tensor:
    """Largest / smallest possible covariance eigenvalue, >= 1; infinite where a direction is
    empty."""
    return 1.0 / eigenvalue_ratio(z)


def spectral_cliff(z: Tensor | Spectrum) -> tuple[int, float]:
    """(r, share): the smallest r whose top directions hold all but 1e-4 of the variance, and the
    share they hold.

    (0, 1.0) where nothing varies.
    """
    values = _relative(_spectrum(z))
    if float(values[0]) <= 0:
        return 0, 1.0
    held = values.cumsum(0)
    r = min(int((held < 1.0 - 1e-4).sum()) + 1, len(values))
    return r, float(held[r - 1])


def alpha_req(z: Tensor | Spectrum, rank_range: tuple[int, int] | None = None) -> Tensor:
    """Decay exponent a of eigenvalue ~ rank^-a (Agrawal et al. 2022): minus the least-squares slope
    of ln eigenvalue on ln rank, over ranks first..last (from 1, inclusive), by default 11..min(n,
    d)/2. NaN below 10 positive points. ValueError unless 1 <= first <= last."""
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
    """exp of the entropy of (m,) weights >= 0, normalised to sum 1; in [1, m], and 1 where all are
    0."""
    total = values.sum()
    if float(total) <= 0:
        return torch.ones_like(total)
    p = values / total
    return torch.exp(-torch.xlogy(p, p).sum())


def _spectrum(z: Tensor | Spectrum) -> Spectrum:
    return z if isinstance(z, Spectrum) else Spectrum.of(z)


def _relative(spectrum: Spectrum) -> Tensor:
    """The covariance eigenvalues at sum 1: their squares neither overflow nor vanish. Zeros where
    nothing varies."""
    total = spectrum.centred.sum()
    return spectrum.centred / total if float(total) > 0 else spectrum.centred


def _gram(z: Tensor) -> Tensor:
    """The smaller of ZZ' (n, n) and Z'Z (d, d)."""
    return z @ z.T if z.shape[0] < z.shape[1] else z.T @ z


def _eigenvalues(gram: Tensor) -> Tensor:
    """Descending; what lies below the decomposition's rounding is 0."""
    values = torch.linalg.eigvalsh(gram).flip(0)
    return torch.where(values > ROUNDING * gram.trace(), values, torch.zeros_like(values))
