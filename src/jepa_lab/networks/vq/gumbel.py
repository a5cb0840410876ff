"""GumbelQuantizer: samples a code by its nearness, with a gradient to all codes (Jang et al.
2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.losses.terms import LossTerms
from jepa_lab.networks.vq.hard import Codebook
from jepa_lab.networks.vq.maths import squared_distances, usage_deficit
from jepa_lab.ranks import summed, summed_with_gradient, world_size


class GumbelQuantizer(Codebook):
    """Straight-through samples of softmax((scale * -|x - e|^2 + Gumbel noise) / temperature) in
    training, the nearest code in evaluation.

    `codes` are the codes that z consists of, in training the sampled ones. temperature is (start,
    end). It falls linearly with the progress of the run (set_progress), and stays at its end once
    the share `until` is done. The noise comes from torch's global stream.

    The only loss term is `usage` = ln K - H(mean of softmax(scale * -|x - e|^2)), without noise, in
    nats, 0 at uniform use. It has a gradient, while the public code took H from counts, which have
    none. total = usage_weight * usage, or 0 with in_objective False.
    """

    def __init__(
        self,
        dim: int,
        size: int,
        *,
        temperature: tuple[float, float] = (1.0, 0.1),
        until: float = 1.0,
        scale: float = 1.0,
        usage_weight: float = 0.01,
        in_objective: bool = True,
        **common: object,
    ) -> None:
        super().__init__(dim, size, learned=True, **common)  # type: ignore[arg-type]
        if min(temperature) <= 0.0 or scale <= 0.0:
            raise ValueError(
                f"gumbel temperature and scale must be above 0, got {temperature} and {scale}"
            )
        if not 0.0 <= until <= 1.0:
            raise ValueError(f"gumbel until must lie between 0 and 1, got {until}")
        if usage_weight < 0.0:
            raise ValueError(f"usage_weight must be 0 or more, got {usage_weight}")
        self.schedule = (float(temperature[0]), float(temperature[1]))
        self.temperature = self.schedule[0]
        self.until = until
        self.scale = scale
        self.usage_weight = usage_weight
        self.in_objective = in_objective

    def set_progress(self, share: float) -> None:
        start, end = self.schedule
        done = 1.0 if share >= self.until else max(share, 0.0) / self.until
        self.temperature = start * (1.0 - done) + end * done

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, LossTerms]:
        vectors = self.vectors.to(x.dtype)
        logits = -self.scale * squared_distances(x, vectors)
        loss = self.loss(logits)
        if not self.training:
            codes = logits.argmax(dim=1)
            return vectors[codes], codes, loss
        noise = -torch.empty_like(logits).exponential_().log()
        soft = torch.softmax((logits + noise) / self.temperature, dim=1)
        codes = soft.argmax(dim=1)
        hard = torch.zeros_like(soft).scatter_(1, codes.unsqueeze(1), 1.0)
        return (hard + (soft - soft.detach())) @ vectors, codes, loss

    def loss(self, logits: Tensor) -> LossTerms:
        """Returns the loss of the (n, K) logits of live tokens, in training of the tokens of all
        ranks. It is 0 without tokens."""
        chosen, n = torch.softmax(logits, dim=1).sum(dim=0), len(logits)
        if self.training and world_size() > 1:
            chosen = summed_with_gradient(chosen)
            n = int(summed(torch.full((), n, device=logits.device)))
        usage = usage_deficit(chosen.unsqueeze(0) / n) if n else chosen.sum()
        if not self.in_objective:
            return LossTerms(logits.new_zeros(()), {"usage": usage.detach()})
        return LossTerms(self.usage_weight * usage, {"usage": usage})
