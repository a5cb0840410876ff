"""Rotations in space as unit quaternions (x, y, z, w). Of q and -q, which are the same rotation,
the one with w >= 0 is used."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.devices import constant


def canonical(q: Tensor) -> Tensor:
    """Returns q or -q (..., 4): the one whose first non-zero component, in the order w, x, y, z, is
    positive."""
    signs = torch.sign(q.roll(1, -1))
    weights = constant((8.0, 4.0, 2.0, 1.0), q)
    return torch.where((signs * weights).sum(-1, keepdim=True) < 0, -q, q)


def from_euler(angles: Tensor) -> Tensor:
    """Returns the canonical quaternion (..., 4) of extrinsic rotations about x, then y, then z by
    angles (..., 3) in radians: scipy's Rotation.from_euler("xyz", angles)."""
    half = angles / 2
    (sx, sy, sz), (cx, cy, cz) = half.sin().unbind(-1), half.cos().unbind(-1)
    x = sx * cy * cz - cx * sy * sz
    y = cx * sy * cz + sx * cy * sz
    z = cx * cy * sz - sx * sy * cz
    w = cx * cy * cz + sx * sy * sz
    return canonical(torch.stack([x, y, z, w], dim=-1))


def conjugate(q: Tensor) -> Tensor:
    """Returns the inverse rotation (..., 4), made canonical where w is 0."""
    return canonical(q * constant((-1.0, -1.0, -1.0, 1.0), q))


def product(p: Tensor, q: Tensor) -> Tensor:
    """Returns the canonical quaternion (..., 4) of R(p) R(q): q is applied first."""
    px, py, pz, pw = p.unbind(-1)
    qx, qy, qz, qw = q.unbind(-1)
    return canonical(
        torch.stack(
            [
                pw * qx + px * qw + py * qz - pz * qy,
                pw * qy - px * qz + py * qw + pz * qx,
                pw * qz + px * qy - py * qx + pz * qw,
                pw * qw - px * qx - py * qy - pz * qz,
            ],
            dim=-1,
        )
    )


def between(p: Tensor, q: Tensor) -> Tensor:
    """Returns the canonical quaternion (..., 4) of R(p)^-1 R(q), the rotation from p to q."""
    return product(conjugate(p), q)
