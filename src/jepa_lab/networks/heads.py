"""Small heads: the action projection, the predictor, and the probes' readouts."""

from __future__ import annotations

from torch import Tensor, nn


class ActionProjection(nn.Module):
    """Actions (..., A) -> embeddings (..., P): linear without bias, then batch-norm without affine
    parameters.

    All real actions of a batch go through in one call, so that there is one set of batch statistics
    and no row of zeros among them.
    """

    def __init__(self, action_dim: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(action_dim, dim, bias=False)
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.dim = dim

    def forward(self, actions: Tensor) -> Tensor:
        flat = self.norm(self.linear(actions.reshape(-1, actions.shape[-1])))
        return flat.view(*actions.shape[:-1], self.dim)


def mlp_predictor(in_dim: int, out_dim: int, hidden: int) -> nn.Module:
    """(n, in_dim) -> (n, out_dim): Linear without bias, batch-norm, ReLU, Linear; hidden=0 is one
    linear map."""
    if hidden <= 0:
        return nn.Linear(in_dim, out_dim)
    return nn.Sequential(
        nn.Linear(in_dim, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out_dim),
    )


def probe_head(in_dim: int, out_dim: int, hidden: int = 0) -> nn.Module:
    """A readout on standardised features: batch-norm without affine parameters, then linear, or an
    MLP of two layers.

    Standardising first makes a probe indifferent to the scale of what it reads, so that probes of
    different taps compare.
    """
    norm = nn.BatchNorm1d(in_dim, affine=False)
    if hidden <= 0:
        return nn.Sequential(norm, nn.Linear(in_dim, out_dim))
    return nn.Sequential(
        norm, nn.Linear(in_dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out_dim)
    )


def projector(in_dim: int, hidden: int, out_dim: int) -> nn.Module:
    """(n, in_dim) -> (n, out_dim): three linear layers, batch-norm and ReLU between them (as
    VICReg's expander)."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out_dim),
    )
