"""Initial weights of the toy's encoders and predictors, drawn from the seed: (out, in) matrices, or
the three tensors of an MLP."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.linear_theory import optimal_predictor
from jepa_lab.studies.linear_byol.data import GaussianViews, generator


def start_encoder(
    kind: str, shape: str, hidden: int, data: GaussianViews, scale: float | None
) -> list[Tensor]:
    """Returns the initial weights of the encoder D -> d, drawn from the data's seed.

    For shape=linear, `kind` pinv is A^+, the optimum. perturbed adds normal noise of `scale`
    (default 0.1) / sqrt(D) to it. rotated multiplies it by a random rotation of the code. random is
    torch's uniform initialisation times `scale` (default 1). For shape=mlp the result is torch's
    initialisation of the two layers, the second without a bias.
    """
    d_obs, d = data.A.shape
    source = generator("encoder", data.seed)
    if shape == "mlp":
        return _mlp(d_obs, hidden, d, source)
    if kind == "random":
        return [_uniform((d, d_obs), d_obs, source) * (1.0 if scale is None else scale)]
    best = torch.linalg.pinv(data.A)
    if kind == "perturbed":
        noise = torch.randn(d, d_obs, generator=source, dtype=torch.float64)
        return [best + (0.1 if scale is None else scale) * noise / d_obs**0.5]
    if kind == "rotated":
        return [torch.linalg.qr(torch.randn(d, d, generator=source, dtype=torch.float64)).Q @ best]
    return [best]


def start_predictor(
    kind: str, shape: str, hidden: int, data: GaussianViews, enc: list[Tensor]
) -> list[Tensor]:
    """Returns the initial weights of the predictor d -> d, drawn from the data's seed, or [] for
    shape=none.

    `kind` random is torch's uniform initialisation, and optimal is P* of the encoder `enc`.
    """
    d = data.A.shape[1]
    source = generator("predictor", data.seed)
    if shape == "none":
        return []
    if shape == "mlp":
        return _mlp(d, hidden, d, source)
    if kind == "identity":
        return [torch.eye(d, dtype=torch.float64)]
    if kind == "zero":
        return [torch.zeros(d, d, dtype=torch.float64)]
    if kind == "optimal":
        return [optimal_predictor(data.A, enc[0], enc[0], data.spectrum, data.sigma)]
    return [_uniform((d, d), d, source)]


def _mlp(inputs: int, hidden: int, outputs: int, source: torch.Generator) -> list[Tensor]:
    return [
        _uniform((hidden, inputs), inputs, source),
        _uniform((hidden,), inputs, source),
        _uniform((outputs, hidden), hidden, source),
    ]


def _uniform(shape: tuple[int, ...], fan_in: int, source: torch.Generator) -> Tensor:
    """Draws from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's initialisation of linear layers."""
    return (2 * torch.rand(shape, generator=source, dtype=torch.float64) - 1) / fan_in**0.5
