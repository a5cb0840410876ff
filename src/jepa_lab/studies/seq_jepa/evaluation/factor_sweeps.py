"""Factor sweeps of an encoder: N anchors move along one factor at a time, and the geometry of their
features is measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from jepa_lab.data.views.factor_sweeps import FactorSweep
from jepa_lab.data.views.view_group import ViewGroup
from jepa_lab.metrics import subspace_overlap
from jepa_lab.metrics.factors import factor_geometry

BATCH = 1024  # views encoded at a time


@dataclass(frozen=True)
class SweepResult:
    """The result for one factor. `values` are metrics by name. `basis` (d, k) spans the factor's
    directions. `spectrum` holds the eigenvalues of Delta z over their sum, falling. `curves`
    (anchors, s, 2) are the first anchors in the factor's own plane. All of them are NaN if a
    feature is not finite."""

    sweep: FactorSweep
    values: dict[str, float]
    basis: Tensor
    spectrum: Tensor
    curves: Tensor
    mean_curve: Tensor  # (s, 2), over all anchors

    @property
    def finite(self) -> bool:
        """Whether all features were finite, so that they could be measured."""
        return all(map(math.isfinite, self.values.values()))


@dataclass(frozen=True)
class Sweeps:
    """The results of all factors of a view group, with the overlap of their directions (1: the
    same, 0: orthogonal, NaN: not measured)."""

    anchors: int
    factors: dict[str, SweepResult]
    overlap: dict[tuple[str, str], float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Returns {<factor>/<metric>: value, overlap/<f>-<g>: value}."""
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
    """Sweeps the group's factors for an encoder from (B, C, H, W) to (B, d). The anchors `images`
    (n, C, H, W) are uint8. The curves of `kept` anchors are kept."""
    factors = {}
    for sweep in group.sweeps():
        z = encode_sweep(encode, group, images, sweep)
        factors[sweep.factor] = analyse(sweep, z, kept)
    overlap = {(f, g): _overlap(factors[f], factors[g]) for f, g in combinations(factors, 2)}
    return Sweeps(len(images), factors, overlap)


def _overlap(one: SweepResult, other: SweepResult) -> float:
    if not (one.finite and other.finite):
        return math.nan
    return float(subspace_overlap(one.basis, other.basis))


def encode_sweep(
    encode: Callable[[Tensor], Tensor], group: ViewGroup, images: Tensor, sweep: FactorSweep
) -> Tensor:
    """Returns features (n, s, d) float32 on the CPU: every anchor at every value of the factor.
    Anchors are encoded in chunks."""
    steps = len(sweep.values)
    params = sweep.params.to(images.device)
    parts = []
    for chunk in images.split(max(1, BATCH // steps)):
        views = group.render(chunk, params.expand(len(chunk), *params.shape))
        parts.append(encode(views.flatten(0, 1)).float().cpu().view(len(chunk), steps, -1))
    return torch.cat(parts)


def analyse(sweep: FactorSweep, z: Tensor, kept: int = 8) -> SweepResult:
    """Returns the geometry of features (n, s, d) at the values of a sweep. Features of a diverged
    network, which are not finite, give NaN everywhere."""
    k = min(sweep.k, z.shape[2])
    if not bool(torch.isfinite(z).all()):
        return _not_measured(analyse(sweep, torch.zeros_like(z), kept))
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


def plain_sweeps(sweeps: Sweeps) -> dict[str, Any]:
    """Returns the results as tensors and plain data, for a file."""
    factors = {
        name: {**vars(result), "sweep": dict(vars(result.sweep))}
        for name, result in sweeps.factors.items()
    }
    overlap = [[f, g, value] for (f, g), value in sweeps.overlap.items()]
    return {"anchors": sweeps.anchors, "factors": factors, "overlap": overlap}


def sweeps_of(plain: Mapping[str, Any]) -> Sweeps:
    """Returns the results that plain_sweeps took apart."""
    factors = {
        name: SweepResult(**{**result, "sweep": FactorSweep(**result["sweep"])})
        for name, result in plain["factors"].items()
    }
    overlap = {(f, g): float(value) for f, g, value in plain["overlap"]}
    return Sweeps(int(plain["anchors"]), factors, overlap)


def _not_measured(result: SweepResult) -> SweepResult:
    """Returns the result with NaN for every number."""
    tensors = (result.basis, result.spectrum, result.curves, result.mean_curve)
    return SweepResult(
        result.sweep,
        dict.fromkeys(result.values, math.nan),
        *(torch.full_like(tensor, math.nan) for tensor in tensors),
    )
