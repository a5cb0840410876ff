"""Features with a known answer, which a verdict must distinguish. They are seeded.
`gallery_histories` has whole runs.

The answers follow from how the features were made, and were fixed before any rule was applied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

N, D = 512, 64


@dataclass(frozen=True)
class Features:
    """The arguments of `diagnose_features`."""

    z: Tensor
    labels: Tensor | None = None
    codes: Tensor | None = None
    reference: Tensor | None = None


@dataclass(frozen=True)
class FeatureCase:
    """A name, the right status, and the function that makes the features."""

    name: str
    status: str
    make: Callable[[Generator], Features | Tensor]

    def build(self, seed: int = 0) -> Features:
        """Returns the features of this seed."""
        made = self.make(Generator().manual_seed(seed))
        return made if isinstance(made, Features) else Features(made)


def normal(g: Generator, *shape: int) -> Tensor:
    return torch.randn(*(shape or (N, D)), generator=g)


def power_law(g: Generator, exponent: float, n: int = N, d: int = D) -> Tensor:
    """Returns features with eigenvalues i^-exponent, in random directions."""
    turned = torch.linalg.qr(normal(g, d, d))[0]
    return (normal(g, n, d) * torch.arange(1, d + 1).float().pow(-exponent / 2)) @ turned


def of_rank(g: Generator, r: int, noise: float = 0.0, mean: float = 0.0) -> Tensor:
    return normal(g, N, r) @ normal(g, r, D) + noise * normal(g) + mean


def clusters(g: Generator, k: int, noise: float) -> tuple[Tensor, Tensor]:
    labels = torch.arange(N) % k
    return normal(g, k, D)[labels] + noise * normal(g), labels


def dead(g: Generator, share: float) -> Tensor:
    z = normal(g)
    z[:, : int(share * D)] = 0.0
    return z


def exploding(g: Generator, factor: float) -> Tensor:
    z = normal(g)
    z[:, 3] *= factor
    return z


def softmax(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)


def labelled(g: Generator, k: int, noise: float) -> Features:
    z, labels = clusters(g, k, noise)
    return Features(z, labels=labels)


def outlier(g: Generator) -> Tensor:
    z = torch.ones(N, D) + 1e-4 * normal(g)
    z[0] = normal(g, D)
    return z


def codes_in_use(g: Generator, used: int, size: int) -> Tensor:
    counts = torch.zeros(size)
    counts[:used] = torch.rand(used, generator=g) + 1.0
    return counts


H, L, M, K, C, U = (
    "healthy",
    "low_rank",
    "dimensional_collapse",
    "complete_collapse",
    "codebook_collapse",
    "uniform_output",
)
FEATURES: tuple[FeatureCase, ...] = tuple(
    FeatureCase(*row)
    for row in (
        ("isotropic", H, lambda g: normal(g)),
        ("isotropic, few samples", H, lambda g: normal(g, 40, 512)),
        ("isotropic, n below d", H, lambda g: normal(g, 200, 512)),
        ("power law, exponent 1", H, lambda g: power_law(g, 1.0)),
        ("power law of 512 dimensions", H, lambda g: power_law(g, 1.0, d=512)),
        ("mean 3 times the spread", H, lambda g: normal(g) + 3),
        ("mean 10 times the spread", H, lambda g: normal(g) + 10),
        ("scale 1e-6", H, lambda g: 1e-6 * normal(g)),
        ("scale 1e-20", H, lambda g: 1e-20 * normal(g)),
        ("scale 1e6", H, lambda g: 1e6 * normal(g)),
        ("after a ReLU", H, lambda g: normal(g).relu()),
        ("on the sphere", H, lambda g: torch.nn.functional.normalize(normal(g), dim=1)),
        ("heavy tails", H, lambda g: normal(g) / normal(g, N, 1).abs().add(0.1)),
        ("binary codes", H, lambda g: normal(g).sign()),
        (
            "sparse codes, 5 % active",
            H,
            lambda g: normal(g) * (torch.rand(N, D, generator=g) < 0.05),
        ),
        ("every dimension twice", H, lambda g: normal(g, N, D // 2).repeat(1, 2)),
        ("a quarter of the units dead", H, lambda g: dead(g, 0.25)),
        ("one dimension 3 times the others", H, lambda g: exploding(g, 3.0)),
        ("one dimension in all", H, lambda g: normal(g, N, 1)),
        ("two dimensions in all", H, lambda g: normal(g, N, 2)),
        ("views of images", H, lambda g: normal(g, 200, 1, D) + 0.5 * normal(g, 200, 3, D)),
        ("ten wide clusters", H, lambda g: clusters(g, 10, 0.5)[0]),
        ("ten labelled clusters", H, lambda g: labelled(g, 10, 0.3)),
        ("confident prototypes, evenly used", H, lambda g: softmax(20 * normal(g, N, 32))),
        ("codebook in use", H, lambda g: Features(normal(g), codes=torch.arange(N) % 100)),
        ("rank that grew", H, lambda g: Features(normal(g), reference=of_rank(g, 3, 0.1))),
        ("rank 16 with noise", H, lambda g: of_rank(g, 16, 0.1)),
        ("rank 8 that was 64", L, lambda g: Features(of_rank(g, 8, 0.05), reference=normal(g))),
        ("power law, exponent 2.5", L, lambda g: power_law(g, 2.5)),
        (
            "low rank, and low at the start",
            L,
            lambda g: Features(of_rank(g, 2, 0.2), reference=of_rank(g, 2, 0.2)),
        ),
        ("rank 1", M, lambda g: of_rank(g, 1)),
        ("rank 1 with noise", M, lambda g: of_rank(g, 1, 0.02)),
        ("rank 2", M, lambda g: of_rank(g, 2)),
        ("rank 2 with noise", M, lambda g: of_rank(g, 2, 1e-3)),
        ("rank 2 and a mean", M, lambda g: of_rank(g, 2, 1e-3, 1.0)),
        ("rank 3, then a cliff", M, lambda g: of_rank(g, 3, 1e-3)),
        ("two tight clusters", M, lambda g: clusters(g, 2, 1e-3)[0]),
        ("three tight clusters", M, lambda g: clusters(g, 3, 1e-3)[0]),
        (
            "two labelled clusters, ten classes",
            M,
            lambda g: Features(clusters(g, 2, 1e-2)[0], labels=torch.arange(N) // 2 % 10),
        ),
        ("one exploding dimension", M, lambda g: exploding(g, 1e3)),
        ("one coordinate of either sign", M, lambda g: torch.eye(D)[:1] * normal(g, N, 1).sign()),
        ("rank 1 of two dimensions", M, lambda g: normal(g, N, 1) @ normal(g, 1, 2)),
        ("all units dead but two", M, lambda g: dead(g, 62 / 64)),
        ("constant", K, lambda g: torch.ones(N, D)),
        ("zero", K, lambda g: torch.zeros(N, D)),
        ("constant with noise", K, lambda g: 1 + 1e-3 * normal(g)),
        ("constant, tiny, with noise", K, lambda g: 1e-6 * (1 + 1e-3 * normal(g))),
        ("mean 100 times the spread", K, lambda g: normal(g) + 100),
        (
            "one direction of any length",
            K,
            lambda g: torch.rand(N, 1, generator=g).add(0.1) * normal(g, 1, D),
        ),
        ("constant but for one row", K, outlier),
        (
            "the same prototype for all",
            K,
            lambda g: softmax(20 * normal(g, 1, 32) + 1e-2 * normal(g, N, 32)),
        ),
        ("uniform softmax", U, lambda g: softmax(torch.zeros(N, 32))),
        ("nearly uniform softmax", U, lambda g: softmax(0.1 * normal(g, N, 32))),
        (
            "codebook of 1 % usage",
            C,
            lambda g: Features(normal(g), codes=codes_in_use(g, 10, 1000)),
        ),
        (
            "one code for all",
            C,
            lambda g: Features(normal(g), codes=torch.zeros(N, dtype=torch.long)),
        ),
        ("one NaN", "diverged", lambda g: normal(g).index_fill(0, torch.tensor([7]), math.nan)),
        ("infinite", "diverged", lambda g: torch.full((N, D), math.inf)),
        ("ten rows", "inconclusive", lambda g: normal(g, 10, D)),
        ("31 rows", "inconclusive", lambda g: normal(g, 31, D)),
    )
)
