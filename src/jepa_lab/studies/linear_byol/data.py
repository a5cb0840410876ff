"""Two noisy views of one Gaussian latent, the data of the linear BYOL toy; every stream has a
generator of its own."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

CHUNK = 64  # training steps whose batches are drawn together; part of the stream's definition


def generator(*key: object) -> torch.Generator:
    """A CPU generator for what `key` names: the same numbers for the same key, whatever else was
    drawn."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True)
class GaussianViews:
    """x = A z + sigma e and x' = A z + sigma e' with z_i ~ N(0, spectrum_i). A (D, d), spectrum
    (d,): float64."""

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
        """A of the seed, with orthonormal columns or as drawn (variance 1/D); the spectrum ascends
        from span[0] to span[1], evenly (lin) or evenly in its logarithm (log)."""
        A = torch.randn(d_obs, d_latent, generator=generator("A", seed), dtype=torch.float64)
        A = torch.linalg.qr(A).Q if orthonormal else A / d_obs**0.5
        ends = torch.tensor(span, dtype=torch.float64)
        low, high = (ends if kind == "lin" else ends.log10()).tolist()
        spectrum = torch.linspace(low, high, d_latent, dtype=torch.float64)
        return GaussianViews(A, spectrum if kind == "lin" else 10**spectrum, sigma, seed)

    def batches(self, batch_size: int, chunk: int) -> tuple[Tensor, Tensor]:
        """The views x and x', each (CHUNK, batch_size, D), of the training steps chunk * CHUNK + 1
        and on."""
        return self._draw((CHUNK, batch_size), generator("train", self.seed, batch_size, chunk))[1:]

    def evaluation(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (n, d) and views x and x' (n, D) that no training step sees."""
        return self._draw((n,), generator("evaluation", self.seed))

    def _draw(
        self, shape: tuple[int, ...], source: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        # float32 normals: twice as fast, and 2^-24 is no part of the noise
        d_obs, d = self.A.shape
        z = torch.randn(*shape, d, generator=source).double() * self.spectrum.sqrt()
        noise = torch.randn(2, *shape, d_obs, generator=source).double() * self.sigma
        signal = z @ self.A.mT
        return z, signal + noise[0], signal + noise[1]
