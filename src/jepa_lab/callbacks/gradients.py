"""GradientStatistics: how hard every term of the objective pulls at the encoder, and whether the terms agree."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.publish import publish


class GradientStatistics(pl.Callback):
    """Every `every` optimiser steps, and at the first, logs of each weighted term that the module publishes as
    `weighted`

    - `train/gradient/<term>`: the norm of its gradient on the encoder's parameters (0: it does nothing there);
    - `train/gradient_cosine/<term>`: the cosine with the prediction's gradient, in [-1, 1]; left out where either is 0.

    Under gradient accumulation of the step's first batch. One more backward pass per term, at those steps only; what
    is trained does not change.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._values: dict[str, float] = {}
        self._seen = -1  # the step that was measured last

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        step = trainer.global_step + 1
        if step == self._seen or (step % self.every and step != 1):
            return
        self._seen = step
        parameters = [p for p in pl_module.network.encoder.parameters() if p.requires_grad]
        if parameters:
            self._values = gradient_statistics(pl_module.weighted, parameters)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self._values and trainer.global_step == self._seen:
            if not pl_module.skipped:
                publish(trainer, self._values)
            self._values = {}


def gradient_statistics(
    terms: dict[str, Tensor], parameters: list[torch.nn.Parameter], reference: str = "prediction"
) -> dict[str, float]:
    """{train/gradient/<term>: norm, train/gradient_cosine/<term>: cosine with the reference's} of scalar terms; their
    graphs are kept. A term without a path to the parameters has norm 0."""
    flat: dict[str, Tensor] = {}
    for name, term in terms.items():
        grads: list[Tensor | None] = [None] * len(parameters)
        if term.requires_grad:
            grads = list(torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True))
        pieces = [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(grads, parameters, strict=True)]
        flat[name] = torch.cat(pieces).double()
    norms = {name: float(gradient.norm()) for name, gradient in flat.items()}
    values = {f"train/gradient/{name}": norm for name, norm in norms.items()}
    for name, gradient in flat.items():
        if name != reference and norms.get(reference, 0.0) > 0 and norms[name] > 0:
            cosine = float(gradient @ flat[reference]) / (norms[name] * norms[reference])
            values[f"train/gradient_cosine/{name}"] = min(max(cosine, -1.0), 1.0) if cosine == cosine else cosine
    return values
