"""How features move when one factor of the views does: in how many directions, in which, along
which curve."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from jepa_lab.metrics.spectrum import Spectrum, participation_ratio
from jepa_lab.metrics.subspace import coordinate_participation, explained_variance


def factor_geometry(
    z: Tensor, reference: int, k: int, angles: Tensor | None = None
) -> tuple[dict[str, float], Tensor]:
    """({name: value}, basis (d, k)) of features (n, s, d): n anchors at s values of one factor,
    `reference` the identity's place.

    Of Delta z = z - z[:, reference], without the reference itself: `explained_variance` of its top
    k directions (the basis), `effective_rank` ((sum l)^2 / sum l^2 of its eigenvalues) and
    `coordinate_participation` of the basis. `systematic_share`: the share of its variance that all
    anchors have in common at a value of the factor. With `angles` (s,) in radians and k = 2 also
    `circle_fit` of the anchors' mean curve in the basis, and `circle_fit_anchors`, the mean over
    anchors of each one's own, and over a full turn `harmonic_1` and `harmonic_2`. Features that do
    not move have a share and fits of 0. ValueError for other shapes, k > d, or features that are
    not finite.
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
    """Orthonormal (d, k): the top k principal directions of (n, d) differences, centred."""
    covariance = torch.cov(delta.double().T, correction=0).reshape(delta.shape[1], delta.shape[1])
    return torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :k]


def systematic_share(delta: Tensor) -> Tensor:
    """Variance of the mean over anchors / total variance of (n, s, d) differences, about the mean
    of all; in [0, 1].

    1 where every anchor moves alike, about 1 / n where each goes its own way; 0 where nothing
    moves.
    """
    total = (delta - delta.mean(dim=(0, 1))).square().mean(dim=(0, 1)).sum()
    common = (delta.mean(dim=0) - delta.mean(dim=(0, 1))).square().mean(dim=0).sum()
    return common / total if float(total) > 0 else torch.zeros_like(total)


def circle_fit(points: Tensor, angles: Tensor) -> Tensor:
    """R² in [0, 1] of the circle that best follows (s, 2) points at known `angles` (s,): shifted,
    scaled, turned and possibly mirrored, but run through once, in order (a Procrustes fit, in
    closed form). 0 for points that coincide.
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
    """Shares of the variance over a full turn that go through 1, 2, ... s // 2 periods, of features
    (n, s, d) at s evenly spaced angles: sum 1, or 0 where nothing moves. All on the first for a
    circle in whatever plane each anchor has its own; on the second for what half a turn brings
    back."""
    power = torch.fft.rfft(z.double(), dim=1).abs().square().sum(dim=(0, 2))[1:]
    if z.shape[1] % 2 == 0:
        power[-1] /= 2  # the Nyquist frequency has no partner
    total = power.sum()
    return power / total if float(total) > 0 else power


def is_full_turn(angles: Tensor) -> bool:
    """Whether the angles, in radians, are evenly spaced around a full turn, its end left out."""
    steps = angles.diff()
    even = bool((steps - steps[0]).abs().max() < 1e-6)
    return even and abs(float(angles[-1] - angles[0] + steps[0]) - 2 * math.pi) < 1e-6


def projector(basis: Tensor) -> Tensor:
    """(d, d): the orthogonal projection onto a basis (d, k). Projectors may be averaged; bases may
    not, since a basis of the same subspace can be turned at will."""
    return basis @ basis.T


def stability(reference: Tensor, basis: Tensor) -> Tensor:
    """tr(reference BB') / k in [0, 1] of a mean of earlier projectors (d, d) and a basis (d, k): 1
    for a subspace that never moved."""
    return ((reference @ basis) * basis).sum() / basis.shape[1]
