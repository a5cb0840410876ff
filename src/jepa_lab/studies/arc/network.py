"""The network of the ARC JEPA: grids to vectors, a context to a prediction, a target to what is
predicted."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor, nn

from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.vq.build import Quantizer
from jepa_lab.studies.arc.data.batch import GridTokens
from jepa_lab.studies.arc.encoder import TokenEncoder, grid_vectors


@dataclass
class ArcRepresentations:
    """z (B, G, h), the vector of every context grid; z_agg (B, h), of the whole context; z_hat and
    z_target (B, p), the prediction and what it is compared with."""

    z: Tensor
    z_agg: Tensor
    z_hat: Tensor
    z_target: Tensor

    def detach(self) -> ArcRepresentations:
        """The same without a graph, in float32."""
        return ArcRepresentations(*(getattr(self, f.name).detach().float() for f in fields(self)))

    def taps(self, present: Tensor) -> dict[str, Tensor]:
        """By name, as an auxiliary loss reads them: z (n, h), the vectors of the grids that are
        `present` (B, G) in some context; the others as they are."""
        return {**vars(self), "z": self.z[present]}


@dataclass
class Encoded:
    """Of n grids with N places: tokens (n, N, h) after the codebook, vectors (n, h), codes (n, N)
    int64 with -1 where there is no token (None without a codebook), and the codebook's loss."""

    tokens: Tensor
    vectors: Tensor
    codes: Tensor | None
    loss: LossTerms | None


class ArcNetwork(nn.Module):
    """encoder and codebook: grid -> vector; context: vectors of a context -> one; predictor;
    projection -> (B, p).

    `side`: the codes are made beside the path to the prediction, which then sees the tokens as they
    are.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        context: nn.Module,
        predictor: nn.Module,
        projection: nn.Module,
        vq: Quantizer | None = None,
        side: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.context = context
        self.predictor = predictor
        self.projection = projection
        self.vq = vq
        self.side = side

    def encode(
        self,
        tokens: GridTokens,
        collect: bool = False,
        encoder: nn.Module | None = None,
        vq: Quantizer | None = None,
    ) -> Encoded:
        """Vectors of grids, with another encoder and codebook where they are given. `collect`: the
        codebook learns from these tokens."""
        z = (encoder or self.encoder)(tokens)
        book = vq or self.vq
        if book is None:
            return Encoded(z, grid_vectors(z, tokens.mask), None, None)
        found = book(z, tokens.mask, collect=collect)
        if not self.side:
            z = found.z
        return Encoded(z, grid_vectors(z, tokens.mask), found.codes, found.loss)

    def aggregate(self, z: Tensor, present: Tensor, roles: Tensor, pairs: Tensor) -> Tensor:
        """Vectors of the context grids (B, G, h) -> (B, h)."""
        context: Tensor = self.context(z, present, roles, pairs)
        return context

    def predict(self, z_agg: Tensor) -> Tensor:
        """(B, h) -> z_hat (B, p)."""
        predicted: Tensor = self.projection(self.predictor(z_agg))
        return predicted
