"""HardQuantizer: replaces every token by its nearest code (van den Oord et al. 2017,
arXiv:1711.00937)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.vq.base import Quantizer
from jepa_lab.networks.vq.maths import averaged, averaged_as_published, nearest, straight_through
from jepa_lab.networks.vq.start import codes_at_centres, codes_at_tokens, uniform_codes
from jepa_lab.ranks import gathered

STARTS = ("kmeans", "data", "uniform", "empty")


class Codebook(Quantizer):
    """A quantizer whose (K, d) vectors are a tensor, `vectors`: a parameter if `learned`, else a
    buffer.

    - init "kmeans" and "data": vectors are set once, from the live tokens of the first training
      forward of all ranks. The buffer `initialized` records this. Until then they are standard
      normal, so that a codebook can be read before training.
    - init "uniform": U(-1/K, 1/K).
    - init "empty": as "uniform" with counts 0 and sums equal to the vectors, as published.

    Counts start at 1 except for "empty". Random numbers come from `seed`, not from the global
    stream.
    """

    vectors: Tensor
    initialized: Tensor

    def __init__(
        self,
        dim: int,
        size: int,
        *,
        init: str = "kmeans",
        learned: bool = False,
        seed: int = 0,
        **common: object,
    ) -> None:
        super().__init__(dim, size, seed=seed, **common)  # type: ignore[arg-type]
        if init not in STARTS:
            raise ValueError(f"init must be one of {', '.join(STARTS)}, got {init!r}")
        self.init = init
        source = torch.Generator().manual_seed(seed)
        from_data = init in ("kmeans", "data")
        vectors = (
            torch.randn(size, dim, generator=source)
            if from_data
            else uniform_codes(size, dim, source)
        )
        if learned:
            self.vectors = nn.Parameter(vectors)
        else:
            self.register_buffer("vectors", vectors)
        self.register_buffer("initialized", torch.tensor(not from_data))
        if init == "empty":
            self.counts.zero_()

    @property
    def codebook(self) -> Tensor:
        return self.vectors

    def assign(self, x: Tensor) -> Tensor:
        return nearest(x, self.vectors.to(x.dtype))

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        if self.on_host("initialized"):
            return
        tokens = gathered(x)
        if len(tokens) and bool(torch.isfinite(tokens).all()):
            self.initialise(tokens)

    @torch.no_grad()
    def initialise(self, tokens: Tensor) -> None:
        """Sets the codes to (n, d) tokens (init "data") or to their centres (any other init), with
        counts 1.

        The first training forward calls it. Call it yourself to have a codebook earlier. Raises
        ValueError without tokens.
        """
        source = torch.Generator().manual_seed(self.seed)
        start = codes_at_tokens if self.init == "data" else codes_at_centres
        vectors = start(tokens.to(self.vectors), self.size, source)
        everything = torch.arange(self.size, device=vectors.device)
        self.revive(everything, vectors, torch.ones_like(self.counts))
        self.initialized.fill_(True)
        self._known.pop("initialized", None)


class HardQuantizer(Codebook):
    """Nearest codes with a straight-through gradient. The loss terms are means over live tokens and
    d, unweighted:

    - commitment: (x - sg(e))^2, moves the tokens to their codes.
    - codebook: (sg(x) - e)^2, moves the codes to their tokens. It exists only where the codebook is
      trained by gradient (ema_decay None).

    total = commitment_weight * commitment + codebook. With weight_on "codebook" the weight is on
    that term instead (the published misplacement). With in_objective False the total is 0, and the
    terms are reported without a gradient (the published objective). With ema_decay the codes are
    moving averages of their members: see maths.averaged, and averaged_as_published for init
    "empty". In training the means are over the tokens of all ranks, after gradients are averaged
    over ranks.
    """

    sums: Tensor

    def __init__(
        self,
        dim: int,
        size: int,
        *,
        commitment: float = 0.25,
        ema_decay: float | None = 0.99,
        in_objective: bool = True,
        weight_on: str = "commitment",
        init: str = "kmeans",
        seed: int = 0,
        **common: object,
    ) -> None:
        super().__init__(dim, size, init=init, learned=ema_decay is None, seed=seed, **common)
        if ema_decay is not None and not 0.0 <= ema_decay < 1.0:
            raise ValueError(
                "ema_decay must be in [0, 1), or null for a codebook trained by gradient, got"
                f" {ema_decay}"
            )
        if weight_on not in ("commitment", "codebook"):
            raise ValueError(f"weight_on must be commitment or codebook, got {weight_on!r}")
        if commitment < 0.0:
            raise ValueError(f"commitment must be 0 or more, got {commitment}")
        self.commitment = commitment
        self.ema_decay = ema_decay
        self.in_objective = in_objective
        self.weight_on = weight_on
        if ema_decay is not None:
            self.register_buffer("sums", self.vectors.detach().clone())

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, LossTerms]:
        codes = self.assign(x)
        chosen = self.vectors[codes].to(x.dtype)
        return straight_through(x, chosen), codes, self.loss(x, chosen)

    def loss(self, x: Tensor, chosen: Tensor) -> LossTerms:
        """Returns the loss of (n, d) live tokens and the codes chosen for them, 0 without
        tokens."""
        places = self.tokens_in_all(len(x)) * self.dim
        terms = {"commitment": (x - chosen.detach()).square().sum() / places}
        weights = {"commitment": self.commitment if self.weight_on == "commitment" else 1.0}
        if self.ema_decay is None:
            terms["codebook"] = (x.detach() - chosen).square().sum() / places
            weights["codebook"] = self.commitment if self.weight_on == "codebook" else 1.0
        if not self.in_objective:
            return LossTerms(x.new_zeros(()), {name: term.detach() for name, term in terms.items()})
        return LossTerms(
            torch.stack([weights[name] * term for name, term in terms.items()]).sum(), terms
        )

    def moving(self) -> list[Tensor]:
        averages = self.ema_decay is not None
        return [self.vectors, self.counts, self.sums] if averages else super().moving()

    def apply_statistics(self, counts: Tensor, sums: Tensor) -> None:
        if self.ema_decay is None:
            super().apply_statistics(counts, sums)
            return
        before, decay = (self.counts, self.sums), self.ema_decay
        if self.init == "empty":
            after = averaged_as_published(*before, counts, sums, decay)
        else:
            after = averaged(self.vectors, *before, counts, sums, decay)
        for kept, moved in zip(self.moving(), after, strict=True):
            kept.copy_(moved)

    def revive(
        self, codes: Tensor, vectors: Tensor, counts: Tensor, sums: Tensor | None = None
    ) -> None:
        super().revive(codes, vectors, counts)
        if self.ema_decay is not None:
            with torch.no_grad():
                self.sums[codes] = (vectors * counts.unsqueeze(1) if sums is None else sums).to(
                    self.sums.dtype
                )
