"""Movement of features along one factor of the views: its directions and its curve."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jepa_lab.metrics.spectrum import Spectrum, participation_ratio
from jepa_lab.metrics.subspace import coordinate_participation, explained_variance


def factor_geometry(
    z: Tensor, reference: int, k: int, angles: Tensor | None = None
) -> tuple[dict[str, float], Tensor]:
    """Returns ({name: value}, basis (d, k)) of features (n, s, d): n anchors at s values of one
    factor.

    `reference` is the index of the identity among the s values. The metrics describe the
    differences Delta z = z - z[:, reference], without the reference itself:
    - `explained_variance`: the share of the variance in the top k directions, which form the basis.
    - `effective_rank`: (sum l)^2 / sum l^2 of the eigenvalues l of their covariance.
    - `coordinate_participation`: the number of coordinates over which the basis is spread.
    - `systematic_share`: the share of the variance of the differences that is common to all anchors
      at the same value.

    With `angles` (s,) in radians and k = 2 there are further metrics:
    - `circle_fit`: the fit of the anchors' mean curve in the basis.
    - `circle_fit_anchors`: the mean over anchors of each anchor's own fit.
    - `harmonic_1` and `harmonic_2`, only over a full turn: see harmonic_shares.

    For features that do not move, systematic_share, the fits and the harmonics are 0. Raises
    ValueError for other shapes, k > d, or features that are not finite.
    """
    if z.ndim != 3 or z.shape[1] < 2 or not 0 <= reference < z.shape[1]:
        raise ValueError(
            f"expected (n, s, d), s >= 2, and a reference below s, got {tuple(z.shape)} and"
            f" {reference}"
        )
    if not 1 <= k <= z.shape[2]:
        raise ValueError(f"k must lie in 1..{z.shape[2]}, got {k}")
    if not bool(torch.isfinite(z).all()):
        raise ValueError("the features are not finite")
    z = z.double()
    delta = z - z[:, reference : reference + 1]
    others = torch.arange(z.shape[1], device=z.device) != reference
    rows = delta[:, others].flatten(0, 1)
    basis = top_directions(rows, k)
    spectrum = Spectrum.of(rows)
    values = {
        "explained_variance": float(explained_variance(spectrum, k)),
        "effective_rank": float(participation_ratio(spectrum)),
        "coordinate_participation": float(coordinate_participation(basis)),
        "systematic_share": float(systematic_share(delta[:, others])),
    }
    if angles is not None and k == 2:
        curves = (z - z.mean(dim=1, keepdim=True)) @ basis
        values["circle_fit"] = float(circle_fit(curves.mean(dim=0), angles))
        values["circle_fit_anchors"] = float(
            torch.stack([circle_fit(c, angles) for c in curves]).mean()
        )
        if is_full_turn(angles):
            shares = harmonic_shares(z)
            values |= {f"harmonic_{m}": float(shares[m - 1]) for m in (1, 2) if m <= len(shares)}
    return values, basis


def top_directions(delta: Tensor, k: int) -> Tensor:
    """Returns the top k principal directions of (n, d) differences, centred, as an orthonormal (d,
    k)."""
    covariance = torch.cov(delta.double().T, correction=0).reshape(delta.shape[1], delta.shape[1])
    return torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :k]


def systematic_share(delta: Tensor) -> Tensor:
    """Returns the variance of the mean over anchors / total variance of (n, s, d) differences, in
    [0, 1].

    Both variances are about the mean of all differences. The share is 1 if every anchor moves
    alike, about 1 / n if each moves differently, and 0 where nothing moves.
    """
    total = (delta - delta.mean(dim=(0, 1))).square().mean(dim=(0, 1)).sum()
    common = (delta.mean(dim=0) - delta.mean(dim=(0, 1))).square().mean(dim=0).sum()
    return common / total if float(total) > 0 else torch.zeros_like(total)


def circle_fit(points: Tensor, angles: Tensor) -> Tensor:
    """Returns R² in [0, 1] of the circle that best follows (s, 2) points at known `angles` (s,).

    The circle may be shifted, scaled, rotated and mirrored, but it is traversed once, in order (a
    Procrustes fit in closed form). The result is 0 for points that coincide.
    """
    if points.shape != (len(angles), 2):
        raise ValueError(f"expected ({len(angles)}, 2) points, got {tuple(points.shape)}")
    w = torch.complex(points[:, 0].double(), points[:, 1].double())
    c = torch.polar(torch.ones_like(angles.double()), angles.double()).to(w.device)
    w, c = w - w.mean(), c - c.mean()
    size = w.abs().square().sum() * c.abs().square().sum()
    if float(size) <= 0:
        return torch.zeros((), dtype=torch.float64)
    onward, mirrored = (c.conj() * w).sum().abs().square(), (c * w).sum().abs().square()
    return torch.maximum(onward, mirrored) / size


def harmonic_shares(z: Tensor) -> Tensor:
    """Returns the shares of the variance over a full turn with 1, 2, ... s // 2 periods.

    The features (n, s, d) are at s evenly spaced angles. The shares sum to 1, or are 0 where
    nothing moves. A circle has all its variance at 1 period, even if each anchor has its own plane.
    Features that repeat after half a turn have all of it at even numbers of periods.
    """
    power = torch.fft.rfft(z.double(), dim=1).abs().square().sum(dim=(0, 2))[1:]
    if z.shape[1] % 2 == 0:
        power[-1] /= 2  # the Nyquist frequency has no partner
    total = power.sum()
    return power / total if float(total) > 0 else power


def is_full_turn(angles: Tensor) -> bool:
    """Whether the angles (radians) are evenly spaced around a full turn without its end point."""
    steps = angles.diff()
    even = bool((steps - steps[0]).abs().max() < 1e-6)
    return even and abs(float(angles[-1] - angles[0] + steps[0]) - 2 * math.pi) < 1e-6


def projector(basis: Tensor) -> Tensor:
    """Returns the orthogonal projection (d, d) onto a basis (d, k). Projectors may be averaged.
    Bases may not, since a basis of a subspace is unique only up to rotation."""
    return basis @ basis.T


def stability(reference: Tensor, basis: Tensor) -> Tensor:
    """Returns tr(reference BB') / k in [0, 1] of a mean of earlier projectors (d, d) and a basis
    (d, k). It is 1 for a subspace that never moved."""
    return ((reference @ basis) * basis).sum() / basis.shape[1]
