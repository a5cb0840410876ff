"""The network of the ARC JEPA: encoder, codebook, context aggregator, predictor and projection."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor, nn

from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.ema import make_ema_copy
from jepa_lab.networks.vq.build import Quantizer
from jepa_lab.studies.arc.data.batch import GridTokens
from jepa_lab.studies.arc.encoder import TokenEncoder, grid_vectors


@dataclass
class ArcRepresentations:
    """Representations of a batch: z (B, G, h) of every context grid, z_agg (B, h) of the whole
    context, the prediction z_hat (B, p) and the target z_target (B, p)."""

    z: Tensor
    z_agg: Tensor
    z_hat: Tensor
    z_target: Tensor

    def detach(self) -> ArcRepresentations:
        """Returns a copy without a graph, in float32."""
        return ArcRepresentations(*(getattr(self, f.name).detach().float() for f in fields(self)))

    def taps(self, grids: Tensor) -> dict[str, Tensor]:
        """Returns the representations by name for auxiliary losses. z (m, h) has only the vectors
        of these grids (m,), numbered among all B * G. The other representations are unchanged."""
        return {**vars(self), "z": self.z.flatten(0, 1).index_select(0, grids)}


@dataclass
class Encoded:
    """Encoded grids, n with N places each.

    `tokens` (n, N, h) are token vectors after the codebook, `vectors` (n, h) their means per grid.
    `codes` (n, N) int64 are -1 at places without a token. Without a codebook, `codes` and the
    codebook's `loss` are None.
    """

    tokens: Tensor
    vectors: Tensor
    codes: Tensor | None
    loss: LossTerms | None


class ArcNetwork(nn.Module):
    """Encodes grids to vectors (encoder and codebook), aggregates those of a context, predicts and
    projects to (B, p).

    With `side`, tokens are quantised beside the path to the prediction, which then reads the
    unquantised tokens.
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
        """Encodes grids. `encoder` and `vq` replace the network's own. With `collect`, the codebook
        learns from these tokens."""
        z = (encoder or self.encoder)(tokens)
        book = vq or self.vq
        if book is None:
            return Encoded(z, grid_vectors(z, tokens.mask), None, None)
        quantized = book(z, tokens.mask, collect=collect, live=tokens.numbers())
        if not self.side:
            z = quantized.z
        return Encoded(z, grid_vectors(z, tokens.mask), quantized.codes, quantized.loss)

    def aggregate(self, z: Tensor, present: Tensor, roles: Tensor, pairs: Tensor) -> Tensor:
        """Returns one vector (B, h) for the vectors of the context grids (B, G, h)."""
        context: Tensor = self.context(z, present, roles, pairs)
        return context

    def predict(self, z_agg: Tensor) -> Tensor:
        """Returns z_hat (B, p)."""
        predicted: Tensor = self.projection(self.predictor(z_agg))
        return predicted


@dataclass(frozen=True)
class ArcTargets:
    """The parts of the target branch that a teacher has of its own, None for those that it shares
    with the network."""

    encoder: nn.Module | None
    projection: nn.Module | None
    vq: Quantizer | None


def targets_of(network: ArcNetwork, target: str) -> ArcTargets:
    """Returns the averages of encoder and projection for target "ema", and its codebook unless it
    shares the network's. For other targets it has no parts."""
    if target != "ema":
        return ArcTargets(None, None, None)
    encoder, projection = make_ema_copy(network.encoder), make_ema_copy(network.projection)
    own = network.vq is not None and not network.vq.share
    return ArcTargets(encoder, projection, network.vq.for_target() if own else None)  # type: ignore[union-attr]
