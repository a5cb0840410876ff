"""seq-JEPA (arXiv:2505.03176) encodes views, aggregates them with their actions and predicts the
next view."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from jepa_lab.networks.ema import make_ema_copy
from jepa_lab.networks.heads import ActionProjection

ROLLED_OUT = 64  # images of a rollout at a time, each in M + k views


@dataclass
class Representations:
    """The features of a step, for B sequences of M observed views and one target view. `z` (B, M,
    D) are the encodings of the observed views, which should be equivariant. `z_agg` (B, Da) is the
    aggregate, which should be invariant. `z_hat` (B, D) is the prediction of `z_target` (B, D), the
    encoding of the target view."""

    z: Tensor
    z_agg: Tensor
    z_hat: Tensor
    z_target: Tensor

    def detach(self) -> Representations:
        """Returns the values without gradient, as float32."""
        return Representations(
            *(t.detach().float() for t in (self.z, self.z_agg, self.z_hat, self.z_target))
        )


class SeqJEPANetwork(nn.Module):
    """The online network. Only its encoder is shared with, or copied into, the target branch.

    Token i is concat(z_i, e_i), where e_i is the embedded relative action from view i to view i +
    1. The action slot of the last observed token is zero, since the action towards the target view
    goes only to the predictor. With `two_calls`, as in the public code, the projection is called
    twice: on the action towards the target, then on all actions. Each call has its own batch
    statistics. Without `conditioned` every action embedding is zero.
    """

    def __init__(
        self,
        encoder: nn.Module,
        aggregator: nn.Module,
        predictor: nn.Module,
        action_projection: ActionProjection,
        *,
        channels_last: bool = False,
        two_calls: bool = False,
        conditioned: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.aggregator = aggregator
        self.predictor = predictor
        self.action_projection = action_projection
        self.channels_last = channels_last
        self.two_calls = two_calls
        self.conditioned = conditioned
        if channels_last:
            self.encoder.to(memory_format=torch.channels_last)

    def encode(self, views: Tensor, encoder: nn.Module | None = None) -> Tensor:
        """Maps images (..., C, H, W) to features (..., D) in one encoder call. The online encoder
        is the default."""
        flat = views.reshape(-1, *views.shape[-3:])
        if self.channels_last:
            flat = flat.contiguous(memory_format=torch.channels_last)
        features = (encoder or self.encoder)(flat)
        return features.view(*views.shape[:-3], -1)

    def tokens(self, z: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Maps z (B, M, D) and relative actions (B, M, A) to tokens (B, M, D + P) and the
        predictor's action embedding (B, P)."""
        if not self.conditioned:
            nothing = z.new_zeros(*z.shape[:-1], self.action_projection.dim)
            return torch.cat([z, nothing], dim=-1), nothing[:, -1]
        if self.two_calls:
            towards_target = self.action_projection(actions[:, -1]).to(z.dtype)
        embedded = self.action_projection(actions).to(z.dtype)
        slots = torch.zeros_like(embedded)
        slots[:, :-1] = embedded[:, :-1]
        return torch.cat([z, slots], dim=-1), towards_target if self.two_calls else embedded[:, -1]

    def aggregate(self, z: Tensor, actions: Tensor) -> Tensor:
        """Maps z (B, M, D) and relative actions (B, M, A) to z_agg (B, D + P)."""
        return self.aggregator(self.tokens(z, actions)[0])

    def aggregate_blind(self, z: Tensor, z_agg: Tensor | None = None) -> Tensor:
        """Maps z (B, M, D) to (B, D + P) with every action slot zero. The aggregate then knows the
        views only from their encodings. This is `z_agg`, if it is passed, where no slot holds an
        action: with one observed view, and without conditioning."""
        if z_agg is not None and not (self.conditioned and z.shape[1] > 1):
            return z_agg
        return self.aggregator(
            torch.cat([z, z.new_zeros(*z.shape[:-1], self.action_projection.dim)], dim=-1)
        )

    def predict(self, z: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Maps z (B, M, D) and relative actions (B, M, A) to z_agg (B, D + P) and z_hat (B, D)."""
        tokens, towards_target = self.tokens(z, actions)
        z_agg = self.aggregator(tokens)
        return z_agg, self.predictor(torch.cat([z_agg, towards_target], dim=-1))


def target_encoder_of(network: SeqJEPANetwork, target: str, own_running: bool) -> nn.Module | None:
    """Returns the average of the network's encoder for target "ema", at its start, None for other
    targets. With `own_running` it moves running statistics of its own."""
    return make_ema_copy(network.encoder, own_running) if target == "ema" else None
