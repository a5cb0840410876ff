"""FiniteGuard: prevents optimiser steps with a loss or a gradient that is NaN or infinite."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.errors import NonFinite

IN_A_ROW = 25  # after so many skipped steps the cause must be the weights, not the batches


class FiniteGuard(pl.Callback):
    """Checks every loss term and the gradient norm before every optimiser step. It must precede
    callbacks that learn from a training batch.

    With `skip` false it raises NonFinite with the name of the first bad term, and the weights stay
    those before the step. With `skip` true it drops the gradients of the step, including those of
    all accumulated batches, and restores the module's buffers. Weights, optimiser and running
    statistics therefore do not change. Skipped steps are counted in `train/skipped_steps`. 25
    skipped steps in a row raise NonFinite.

    Sets `grad_norm` (before clipping), `finite` (of this batch) and `skipped` (of this step) on the
    module.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.skipped = 0
        self._in_a_row = 0
        self._names: list[str] = []
        self._terms: list[Tensor] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        pl_module.skipped = False
        if self.skip:
            self._buffers = [(b, b.clone()) for b in pl_module.buffers()]

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        terms = {name: value for name, value in pl_module.terms.items() if name != "total"}
        terms["total"] = pl_module.terms["total"]
        values = torch.stack([value.float() for value in terms.values()])
        self._names += terms
        self._terms.append(values)
        if self.skip:  # the probes need it at once; otherwise one check a step is enough
            pl_module.finite = bool(torch.isfinite(values).all())

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        grads = [p.grad for p in pl_module.parameters() if p.grad is not None]
        pl_module.grad_norm = torch.nn.utils.get_total_norm(grads)
        values = torch.cat([*self._terms, pl_module.grad_norm.float().reshape(1)]).tolist()
        names = [f"train/loss/{name}" for name in self._names] + ["train/grad_norm"]
        self._names, self._terms = [], []
        bad_values = [
            (name, value)
            for name, value in zip(names, values, strict=True)
            if not math.isfinite(value)
        ]
        if not bad_values:
            self._in_a_row = 0
            return
        bad, value = bad_values[0]
        step = trainer.global_step + 1
        where = f", first in {_bad_gradient(pl_module)}" if bad == "train/grad_norm" else ""
        self._in_a_row += 1
        if not self.skip or self._in_a_row >= IN_A_ROW:
            log_metrics(trainer, {bad: value}, step=step)
            raise NonFinite(
                bad, step, where + (f", {self._in_a_row} steps in a row" if self.skip else "")
            )
        self.skipped += 1
        pl_module.skipped = True
        pl_module.grad_norm = None
        optimizer.zero_grad(set_to_none=True)
        log_metrics(trainer, {"train/skipped_steps": float(self.skipped)}, step=step)

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self.skip and not pl_module.finite:
            for buffer, before in self._buffers:
                buffer.copy_(before)
        self._buffers = []

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped, self._in_a_row = state_dict["skipped"], state_dict["in_a_row"]


def _bad_gradient(module: nn.Module) -> str:
    bad = (
        n
        for n, p in module.named_parameters()
        if p.grad is not None and not bool(torch.isfinite(p.grad).all())
    )
    return next(bad, "the norm of all gradients")
