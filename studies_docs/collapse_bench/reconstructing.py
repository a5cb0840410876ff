"""The methods of the benchmark that rebuild their input or name its class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from collapse_bench.encoders import mlp
from collapse_bench.methods import Method, Terms
from jepa_lab.metrics import perplexity, usage
from jepa_lab.networks.vq.hard import HardQuantizer


class Supervised(Method):
    """A linear classifier on the encoder. `classes` replaces the labels: "random" names that say
    nothing of the image, or "merged" into two."""

    def __init__(self, encoder: nn.Module, norm: str = "", n_classes: int = 10, classes: str = ""):
        super().__init__(encoder, norm)
        self.classes = classes
        self.head = nn.Linear(self.dim, n_classes)

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        if self.classes == "merged":
            labels = labels % 2
        elif self.classes == "random":
            labels = torch.randint_like(labels, self.head.out_features)
        logits = self.head(self.encode(torch.cat([one, other])))
        return {"total": F.cross_entropy(logits, torch.cat([labels, labels]))}

    def outcome(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        logits = self.head(self.encode(images))
        if not bool(torch.isfinite(logits).all()):
            return {"classified": float("nan")}
        if self.classes == "merged":
            labels = labels % 2
        most = float(labels.bincount().max()) / len(labels)
        return {"classified": float((logits.argmax(1) == labels).double().mean()) - most}


class Autoencoder(Method):
    """A denoising autoencoder of `width` numbers. With `kl` it is a variational one, and its
    features are the means."""

    def __init__(
        self,
        encoder: nn.Module,
        norm: str = "",
        shape: tuple[int, int] = (1, 8),
        width: int = 16,
        kl: float = 0.0,
    ) -> None:
        super().__init__(encoder, norm)
        self.shape, self.kl = (shape[0], shape[1], shape[1]), kl
        self.code = nn.Linear(self.dim, 2 * width if kl else width)
        self.decoder = mlp((width, 128, shape[0] * shape[1] ** 2), norm)

    def embed(self, images: Tensor) -> Tensor:
        code: Tensor = self.code(self.encode(images))
        return code.chunk(2, dim=1)[0] if self.kl else code

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        code = self.code(self.encode(one))
        if not self.kl:
            total = (self.decoder(code).unflatten(1, self.shape) - other).square().mean()
            return {"total": total}
        mean, spread = code.chunk(2, dim=1)
        spread = spread.clamp(-8, 8)
        drawn = mean + (spread / 2).exp() * torch.randn_like(mean)
        rebuilt = (self.decoder(drawn).unflatten(1, self.shape) - other).square().mean()
        kl = 0.5 * (mean.square() + spread.exp() - spread - 1).sum(1).mean()
        return {"total": rebuilt + self.kl * kl, "reconstruction": rebuilt, "kl": kl}

    def rebuilt(self, images: Tensor) -> Tensor:
        """Maps images to reconstructions of the same shape."""
        out: Tensor = self.decoder(self.embed(images)).unflatten(1, self.shape)
        return out

    def outcome(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        rebuilt, truth = self.rebuilt(images), images - images.mean(0)
        error = (rebuilt - rebuilt.mean(0) - truth).square().sum()
        return {"recovered": float(1 - error / truth.square().sum())}


class Quantised(Autoencoder):
    """A VQ autoencoder (van den Oord et al. 2017) of eight tokens of eight numbers. `far` starts
    the codes at that many times their usual distance from the tokens."""

    def __init__(
        self,
        encoder: nn.Module,
        norm: str = "",
        shape: tuple[int, int] = (1, 8),
        far: float = 0.0,
        codes: int = 64,
        commitment: float = 0.25,
        by_gradient: bool = False,
    ) -> None:
        super().__init__(encoder, norm, shape, width=64)
        self.quantizer = HardQuantizer(
            8,
            codes,
            commitment=commitment,
            ema_decay=None if by_gradient or far else 0.95,
            init="uniform" if far else "kmeans",
            update="forward",
        )
        if far:
            with torch.no_grad():
                self.quantizer.vectors.mul_(far * codes)

    def quantise(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps images to quantised features (n, 64), their codes (n, 8) and the codebook's loss."""
        tokens = self.code(self.encode(images)).unflatten(1, (8, 8))
        if not bool(torch.isfinite(tokens).all()):
            codes = torch.zeros(tokens.shape[:2], dtype=torch.long)
            return tokens.flatten(1), codes, tokens.sum()
        found = self.quantizer(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))
        return found.z.flatten(1), found.codes, found.loss.total

    def embed(self, images: Tensor) -> Tensor:
        return self.quantise(images)[0]

    def unquantised(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.code(self.encode(images))
        return tokens

    def loss(self, one: Tensor, other: Tensor, labels: Tensor) -> Terms:
        z, _, codebook = self.quantise(one)
        rebuilt = (self.decoder(z).unflatten(1, self.shape) - other).square().mean()
        return {"total": rebuilt + codebook, "reconstruction": rebuilt, "commitment": codebook}

    def measures(self, one: Tensor, other: Tensor) -> dict[str, float]:
        codes = self.quantise(one)[1].flatten()
        counts = torch.bincount(codes, minlength=self.quantizer.size)
        return {
            "codebook/usage": float(usage(counts)),
            "codebook/perplexity": float(perplexity(counts)),
        }
