"""The data of the linear BYOL toy: two noisy views of one Gaussian latent, and the groups of runs
that share them. Every stream of random numbers has its own generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from jepa_lab.studies.linear_byol.config import CHUNK, ToyConfig


def generator(*key: object) -> torch.Generator:
    """Returns a CPU generator seeded by `key`. Equal keys give equal numbers, independent of other
    draws."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class GaussianViews:
    """The views x = A z + sigma e and x' = A z + sigma e' with z_i ~ N(0, spectrum_i).

    `A` has shape (D, d) and `spectrum` has shape (d,), both float64.
    """

    A: Tensor
    spectrum: Tensor
    sigma: float
    seed: int

    @staticmethod
    def make(
        seed: int,
        d_latent: int,
        d_obs: int,
        sigma: float,
        kind: str = "lin",
        span: tuple[float, float] = (0.1, 100.0),
        orthonormal: bool = True,
    ) -> GaussianViews:
        """Draws A from the seed, with orthonormal columns or entries of variance 1/D.

        The spectrum ascends from span[0] to span[1], evenly (kind=lin) or evenly in its logarithm
        (kind=log).
        """
        A = torch.randn(d_obs, d_latent, generator=generator("A", seed), dtype=torch.float64)
        A = torch.linalg.qr(A).Q if orthonormal else A / d_obs**0.5
        ends = torch.tensor(span, dtype=torch.float64)
        low, high = (ends if kind == "lin" else ends.log10()).tolist()
        spectrum = torch.linspace(low, high, d_latent, dtype=torch.float64)
        return GaussianViews(A, spectrum if kind == "lin" else 10**spectrum, sigma, seed)

    def batches(self, batch_size: int, chunk: int) -> tuple[Tensor, Tensor]:
        """Returns the views x and x', each (CHUNK, batch_size, D), of the CHUNK training steps that
        begin with step chunk * CHUNK + 1."""
        return self._draw((CHUNK, batch_size), generator("train", self.seed, batch_size, chunk))[1:]

    def evaluation(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns latents (n, d) and views x and x' (n, D) that no training step uses."""
        return self._draw((n,), generator("evaluation", self.seed))

    def _draw(
        self, shape: tuple[int, ...], source: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        # drawn in float32: twice as fast, and its rounding of 2^-24 is negligible
        d_obs, d = self.A.shape
        z = torch.randn(*shape, d, generator=source).double() * self.spectrum.sqrt()
        noise = torch.randn(2, *shape, d_obs, generator=source).double() * self.sigma
        signal = z @ self.A.mT
        return z, signal + noise[0], signal + noise[1]


@dataclass(frozen=True)
class Group:
    """The runs `runs` of the population, which share seed and batch size and therefore
    their data."""

    runs: slice
    batch_size: int
    data: GaussianViews


def make_groups(members: Sequence[ToyConfig]) -> list[Group]:
    """Returns the groups of members with the same seed and batch size, with their data. Such
    members must be adjacent."""
    groups: list[Group] = []
    start = 0
    for i in range(1, len(members) + 1):
        m = members[start]
        if i < len(members) and (members[i].seed, members[i].batch_size) == (m.seed, m.batch_size):
            continue
        span = (m.spectrum_range[0], m.spectrum_range[1])
        data = GaussianViews.make(
            int(m.seed or 0),
            m.d_latent,
            m.d_obs,
            m.sigma_n,
            m.spectrum,
            span,
            orthonormal=m.orthonormal,
        )
        groups.append(Group(slice(start, i), int(m.batch_size or 0), data))
        start = i
    return groups
