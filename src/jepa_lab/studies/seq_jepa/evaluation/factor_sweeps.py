"""Factor sweeps of an encoder: N anchors through one factor at a time, and the geometry of how
features move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from jepa_lab.data.views.factor_sweeps import FactorSweep
from jepa_lab.data.views.view_group import ViewGroup
from jepa_lab.metrics import subspace_overlap
from jepa_lab.metrics.factors import factor_geometry

BATCH = 1024  # views that are encoded at a time


@dataclass(frozen=True)
class SweepResult:
    """What one factor's sweep gave: `values` by name, the basis (d, k) of its directions, the
    eigenvalues of Delta z over their sum (falling), and `curves` (anchors, s, 2): the first anchors
    in the factor's own plane."""

    sweep: FactorSweep
    values: dict[str, float]
    basis: Tensor
    spectrum: Tensor
    curves: Tensor
    mean_curve: Tensor  # (s, 2), over all anchors


@dataclass(frozen=True)
class Sweeps:
    """All factors of a view group, and how far their directions overlap (1: the same, 0:
    orthogonal)."""

    anchors: int
    factors: dict[str, SweepResult]
    overlap: dict[tuple[str, str], float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """{<factor>/<metric>: value, overlap/<f>-<g>: value}."""
        out = {
            f"{name}/{key}": value
            for name, result in self.factors.items()
            for key, value in result.values.items()
        }
        return {**out, **{f"overlap/{f}-{g}": value for (f, g), value in self.overlap.items()}}


@torch.no_grad()
def sweep_factors(
    encode: Callable[[Tensor], Tensor], group: ViewGroup, images: Tensor, *, kept: int = 8
) -> Sweeps:
    """The sweeps of the group's factors for an encoder (B, C, H, W) -> (B, d) and uint8 images (n,
    C, H, W), the anchors. `kept` anchors keep their curves."""
    factors = {}
    for sweep in group.sweeps():
        z = encode_sweep(encode, group, images, sweep)
        factors[sweep.factor] = analyse(sweep, z, kept)
    overlap = {
        (f, g): float(subspace_overlap(factors[f].basis, factors[g].basis))
        for f, g in combinations(factors, 2)
    }
    return Sweeps(len(images), factors, overlap)


def encode_sweep(
    encode: Callable[[Tensor], Tensor], group: ViewGroup, images: Tensor, sweep: FactorSweep
) -> Tensor:
    """(n, s, d) float32 on the CPU: every anchor at every value of the factor, a chunk of anchors
    at a time."""
    steps = len(sweep.values)
    params = sweep.params.to(images.device)
    parts = []
    for chunk in images.split(max(1, BATCH // steps)):
        views = group.render(chunk, params.expand(len(chunk), *params.shape))
        parts.append(encode(views.flatten(0, 1)).float().cpu().view(len(chunk), steps, -1))
    return torch.cat(parts)


def analyse(sweep: FactorSweep, z: Tensor, kept: int = 8) -> SweepResult:
    """The geometry of features (n, s, d) at the values of a sweep."""
    k = min(sweep.k, z.shape[2])
    values, basis = factor_geometry(z, sweep.reference, k, sweep.angles)
    z = z.double()
    delta = (z - z[:, sweep.reference : sweep.reference + 1]).flatten(0, 1)
    covariance = torch.cov(delta.T, correction=0).reshape(z.shape[2], z.shape[2])
    eigenvalues = torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0)
    total = eigenvalues.sum()
    plane = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :2]
    curves = (z - z.mean(dim=1, keepdim=True)) @ plane
    if plane.shape[1] < 2:
        curves = torch.cat([curves, torch.zeros_like(curves)], dim=2)
    spectrum = eigenvalues / total if float(total) > 0 else eigenvalues
    return SweepResult(sweep, values, basis, spectrum, curves[:kept], curves.mean(dim=0))
