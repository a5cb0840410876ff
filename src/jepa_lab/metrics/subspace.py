"""Directions in which features change: their variance, their alignment and their overlap."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from jepa_lab.metrics.arrays import Array, as_tensor
from jepa_lab.metrics.spectrum import Spectrum, covariance_eigenvalues

# The largest entry allowed in |B'B - I|. A basis computed in float32 stays below it.
ORTHONORMAL = 1e-3


def explained_variance(delta: Array | Spectrum, k: int) -> Tensor:
    """Returns the share of the centred variance of (n, d) differences in their top k directions, in
    [0, 1].

    It is 1 for differences of rank k and where nothing varies. Raises ValueError for k < 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    values = delta.centred if isinstance(delta, Spectrum) else covariance_eigenvalues(delta)
    total = values.sum()
    return values[:k].sum() / total if float(total) > 0 else torch.ones_like(total)


def coordinate_participation(basis: Array) -> Tensor:
    """Returns (sum e)^2 / sum e^2, where e_j is the energy of coordinate j in a basis (d, k).

    It is k if the basis is aligned with k coordinates, and d if it is spread over all. Raises
    ValueError for a basis of zeros.
    """
    energy = _basis(basis).square().sum(dim=1)
    if float(energy.sum()) <= 0:
        raise ValueError(f"the basis {tuple(basis.shape)} is zero")
    share = energy / energy.sum()
    return 1.0 / share.square().sum()


def subspace_overlap(a: Array, b: Array) -> Tensor:
    """Returns |a'b|_F^2 / min(ka, kb) of two orthonormal bases (d, ka) and (d, kb), in [0, 1].

    It is 1 for two equal subspaces. Raises ValueError for bases of unequal d and for columns that
    are not orthonormal.
    """
    a, b = _basis(a), _basis(b)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"expected bases of one space, got {tuple(a.shape)} and {tuple(b.shape)}")
    for basis in (a, b):
        eye = torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
        if float((basis.T @ basis - eye).abs().max()) > ORTHONORMAL:
            raise ValueError(f"the columns of the basis {tuple(basis.shape)} are not orthonormal")
    return ((a.T @ b).square().sum() / min(a.shape[1], b.shape[1])).clamp(max=1.0)


def factor_bases(delta: Array, actions: Array, factors: Mapping[str, slice]) -> dict[str, Tensor]:
    """Returns {factor: orthonormal (d, k)}, the directions in which features change with each
    factor of the action.

    The least-squares map of (n, A) actions onto (n, d) differences, both centred, is split by the
    factors' slices. Factors that change in the same step are thus separated. A column of the
    actions that does not vary is skipped, and so is a factor without a varying column. Raises
    ValueError for unequal n.
    """
    delta, actions = as_tensor(delta), as_tensor(actions)
    if delta.ndim != 2 or actions.ndim != 2 or len(delta) != len(actions):
        raise ValueError(
            f"expected (n, d) and (n, A), got {tuple(delta.shape)} and {tuple(actions.shape)}"
        )
    delta, actions = delta.double(), actions.double()
    delta, actions = delta - delta.mean(0), actions - actions.mean(0)
    varies = actions.square().mean(0) > 1e-12
    weights = torch.zeros(
        actions.shape[1], delta.shape[1], dtype=torch.float64, device=delta.device
    )
    weights[varies] = torch.linalg.lstsq(
        actions[:, varies], delta, driver="gelsd" if delta.is_cpu else None
    ).solution
    bases = {}
    for name, part in factors.items():
        kept = weights[part][varies[part]]
        if len(kept):
            left, values, _ = torch.linalg.svd(kept.T, full_matrices=False)
            basis = left[:, values > 1e-9 * values.max().clamp_min(1e-300)]
            if basis.shape[1]:
                bases[name] = basis
    return bases


def _basis(basis: Array) -> Tensor:
    basis = as_tensor(basis)
    if basis.ndim != 2 or basis.shape[1] < 1 or basis.shape[1] > basis.shape[0]:
        raise ValueError(f"expected a basis (d, k), 1 <= k <= d, got {tuple(basis.shape)}")
    basis = basis.detach()
    basis = (basis.cpu() if basis.device.type == "mps" else basis).double()
    if not bool(torch.isfinite(basis).all()):
        raise ValueError(f"the basis {tuple(basis.shape)} is not finite")
    return basis
