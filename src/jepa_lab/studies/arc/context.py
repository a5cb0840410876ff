"""Aggregator, predictor and projection: the path from the context grids to the prediction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jepa_lab.errors import UserError
from jepa_lab.networks.masked_block import MaskedBlock, allowed_pairs
from jepa_lab.studies.arc.data.batch import FRAME

KINDS = ("mean", "last", "learned", "attention", "gru")
PROJECTIONS = ("linear_end", "relu_end")
N_ROLES = FRAME + 1


class ContextAggregator(nn.Module):
    """Maps z (B, G, width), present (B, G) bool, roles (B, G) and pairs (B, G) int64 to z_agg
    (B, width).

    The kinds are
    - mean: the mean over the present places;
    - last: the last present place;
    - learned: a softmax over the present places for every channel. Its logits are a linear map of
      that channel's values at all places. As published, all channels share one map;
    - attention: `depth` pre-norm blocks over the places with embeddings of role and pair. The
      output is read at the last present place (the query);
    - gru: `depth` layers over the present places in order. The output is the last state.

    With `roles`, a grid first passes the linear map of its role, which starts as the identity
    (attention: the embedding of its role is added). Without, as published, inputs and outputs are
    treated alike. Absent places have no influence, whatever they hold. If no place is present,
    z_agg is zero. `pairs` lie below n_places. Raises UserError for an unknown kind and for heads
    that do not divide the width, ValueError for other shapes.
    """

    def __init__(
        self,
        kind: str,
        width: int,
        n_places: int,
        heads: int = 4,
        depth: int = 1,
        *,
        roles: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"model.context={kind}: one of {', '.join(KINDS)}")
        self.kind = kind
        self.shape = (n_places, width)
        self.roles = RoleMaps(width) if roles and kind != "attention" else None
        if kind == "learned":
            self.weights = nn.Linear(n_places, n_places)
        elif kind == "gru":
            self.gru = nn.GRU(width, width, num_layers=depth, batch_first=True)
        elif kind == "attention":
            self.role_code = nn.Parameter(torch.randn(N_ROLES, width)) if roles else None
            self.pair_code = nn.Parameter(torch.randn(n_places, width))
            self.blocks = nn.ModuleList(MaskedBlock(width, heads, dropout) for _ in range(depth))
            self.norm = nn.LayerNorm(width)

    def forward(self, z: Tensor, present: Tensor, roles: Tensor, pairs: Tensor) -> Tensor:
        if z.ndim != 3 or z.shape[1:] != self.shape or present.shape != z.shape[:2]:
            shapes = f"{tuple(z.shape)} and {tuple(present.shape)}"
            raise ValueError(
                f"expected z (B, {self.shape[0]}, {self.shape[1]}) and present (B, G), got {shapes}"
            )
        z = z.masked_fill(~present.unsqueeze(-1), 0.0)
        if self.roles is not None:
            z = self.roles(z, roles.masked_fill(~present, 0)).masked_fill(
                ~present.unsqueeze(-1), 0.0
            )
        z_agg = getattr(self, f"_{self.kind}")(z, present, roles, pairs)
        return z_agg.masked_fill(~present.any(dim=1, keepdim=True), 0.0)

    def _mean(self, z: Tensor, present: Tensor, *_: Tensor) -> Tensor:
        return z.sum(dim=1) / present.sum(dim=1, keepdim=True).clamp_min(1)

    def _last(self, z: Tensor, present: Tensor, *_: Tensor) -> Tensor:
        places = torch.arange(z.shape[1], device=z.device)
        return _at(z, torch.where(present, places, 0).amax(dim=1))

    def _learned(self, z: Tensor, present: Tensor, *_: Tensor) -> Tensor:
        logits = self.weights(z.transpose(1, 2))  # (B, width, G)
        # Not -inf: the softmax of a row that holds only -inf is NaN, and so is its gradient.
        lowest = torch.finfo(logits.dtype).min
        weights = logits.masked_fill(~present.unsqueeze(1), lowest).softmax(dim=-1)
        return (weights * z.transpose(1, 2)).sum(dim=-1)

    def _attention(self, z: Tensor, present: Tensor, roles: Tensor, pairs: Tensor) -> Tensor:
        z = z + self.pair_code[pairs.masked_fill(~present, 0)].to(z.dtype)
        if self.role_code is not None:
            z = z + self.role_code[roles.masked_fill(~present, 0)].to(z.dtype)
        allowed = allowed_pairs(present)
        for block in self.blocks:
            z = block(z, allowed)
        return self._last(self.norm(z), present)

    def _gru(self, z: Tensor, present: Tensor, *_: Tensor) -> Tensor:
        # Present places move to the front in their order, so that the state after the last of them
        # does not depend on absent places.
        order = (~present).to(torch.uint8).argsort(dim=1, stable=True)
        states, _ = self.gru(z.gather(1, order.unsqueeze(-1).expand_as(z)))
        return _at(states, (present.sum(dim=1) - 1).clamp_min(0))


class RoleMaps(nn.Module):
    """Applies the linear map of its role to each grid: z (B, G, width), roles (B, G) int64 ->
    (B, G, width). Every map starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(width).repeat(N_ROLES, 1, 1))
        self.bias = nn.Parameter(torch.zeros(N_ROLES, width))

    def forward(self, z: Tensor, roles: Tensor) -> Tensor:
        every = torch.einsum("bgi,roi->bgro", z, self.weight) + self.bias
        chosen = roles[..., None, None].expand(*roles.shape, 1, z.shape[-1])
        return every.gather(2, chosen).squeeze(2)


class Predictor(nn.Module):
    """Adds a two-layer MLP of the LayerNorm of z_agg (B, width) to z_agg."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, z_agg: Tensor) -> Tensor:
        return z_agg + self.mlp(z_agg)


class Projection(nn.Sequential):
    """Maps (B, width) to (B, dim), the space of the comparison.

    The form linear_end is Linear, BatchNorm, GELU, Linear and reaches every direction. The
    published form relu_end is Linear and ReLU twice and reaches only the positive orthant. Raises
    UserError for another form.
    """

    def __init__(self, width: int, dim: int, form: str = "linear_end") -> None:
        if form not in PROJECTIONS:
            raise UserError(f"model.projection_form={form}: one of {', '.join(PROJECTIONS)}")
        if form == "linear_end":
            # no bias, since the batch norm would subtract it again
            first = [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.GELU()]
            super().__init__(*first, nn.Linear(width, dim))
        else:
            super().__init__(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU())


def _at(z: Tensor, place: Tensor) -> Tensor:
    """Returns z (B, G, width) at each row's place (B,) int64, as (B, width)."""
    return z[torch.arange(len(z), device=z.device), place]
