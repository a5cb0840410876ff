"""Small heads: the action projection, the predictor, and the readouts of probes."""

from __future__ import annotations

from torch import Tensor, nn


class ActionProjection(nn.Module):
    """Maps actions (..., A) to embeddings (..., P): linear without bias, then batch-norm without
    affine parameters.

    All real actions of a batch go through in one call, so that they share one set of batch
    statistics without rows of zeros.
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
    """Returns a network (n, in_dim) -> (n, out_dim): Linear without bias, batch-norm, ReLU, Linear.
    With hidden=0 it is one linear map."""
    if hidden <= 0:
        return nn.Linear(in_dim, out_dim)
    return nn.Sequential(
        nn.Linear(in_dim, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out_dim),
    )


def probe_head(in_dim: int, out_dim: int, hidden: int = 0) -> nn.Module:
    """Returns a readout of standardised features: batch-norm without affine parameters, then linear
    or an MLP of two layers.

    Standardising makes a probe independent of the scale of the features, so that probes of
    different taps are comparable.
    """
    norm = nn.BatchNorm1d(in_dim, affine=False)
    if hidden <= 0:
        return nn.Sequential(norm, nn.Linear(in_dim, out_dim))
    return nn.Sequential(
        norm, nn.Linear(in_dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out_dim)
    )


def projector(in_dim: int, hidden: int, out_dim: int) -> nn.Module:
    """Returns a network (n, in_dim) -> (n, out_dim): three linear layers with batch-norm and ReLU
    between them (as VICReg's expander)."""
    return nn.Sequential(
        nn.Linear(in_dim, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out_dim),
    )
