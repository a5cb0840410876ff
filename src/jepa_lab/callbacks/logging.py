"""Training metrics that are logged every few optimiser steps, and the printed line per epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.metrics import feature_std_l2, parameter_drift
from jepa_lab.metrics.spectrum import covariance_eigenvalues, exp_entropy
from jepa_lab.ranks import summed, world_size


class EveryNSteps(pl.Callback):
    """Base class of callbacks that log at the first optimiser step and every `every` steps. Each
    step counts once under gradient accumulation. Skipped steps do not count."""

    def __init__(self, every: int) -> None:
        self.every = every
        self._last_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._last_step = trainer.global_step

    def due(self, trainer: pl.Trainer, pl_module: Any) -> bool:
        """Whether to log the optimiser step that this batch completed. Call it once per batch."""
        step = trainer.global_step
        if step == self._last_step:
            return False
        self._last_step = step
        return (step % self.every == 0 or step == 1) and not pl_module.skipped


def log_metrics(trainer: pl.Trainer, metrics: dict[str, float], step: int | None = None) -> None:
    """Logs metrics at the current epoch and the current optimiser step, or at `step`. They are also
    in `trainer.callback_metrics`."""
    at = trainer.global_step if step is None else step
    for logger in trainer.loggers:
        logger.log_metrics(metrics={**metrics, "epoch": trainer.current_epoch}, step=at)
    trainer.callback_metrics.update({k: torch.tensor(v) for k, v in metrics.items()})


class TrainingLog(EveryNSteps):
    """Logs training metrics at the first optimiser step and every `every` steps. They are
    `train/loss/<term>`, `train/grad_norm` (before clipping), `train/lr`, and the module's
    `training_statistics` of its last batch. Skipped steps are not logged."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if not self.due(trainer, pl_module):
            return
        values = {f"train/loss/{name}": float(value) for name, value in pl_module.terms.items()}
        values["train/grad_norm"] = float(pl_module.grad_norm)
        values |= {
            f"train/{name}": value for name, value in pl_module.training_statistics().items()
        }
        values["train/lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        log_metrics(trainer, values)


class GradientStatistics(pl.Callback):
    """Logs the gradient of each term in the module's mapping `weighted`, at the first optimiser
    step and every `every` steps.

    - `train/gradient/<term>`: norm of the weighted term's gradient on the encoder's parameters. 0
      means that the term does not reach the encoder.
    - `train/gradient_cosine/<term>`: cosine with the gradient of the prediction term, in [-1, 1].
      It is missing if either norm is 0.

    Under gradient accumulation it measures the first batch of the step. It costs one more backward
    pass per term at those steps. Training itself does not change.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self._values: dict[str, float] = {}
        self._measured_step = -1

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        step = trainer.global_step + 1
        if step == self._measured_step or (step % self.every and step != 1):
            return
        self._measured_step = step
        parameters = [p for p in pl_module.network.encoder.parameters() if p.requires_grad]
        if parameters:
            self._values = gradient_statistics(pl_module.weighted, parameters)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self._values and trainer.global_step == self._measured_step:
            if not pl_module.skipped:
                log_metrics(trainer, self._values)
            self._values = {}


def gradient_statistics(
    terms: dict[str, Tensor], parameters: list[torch.nn.Parameter], reference: str = "prediction"
) -> dict[str, float]:
    """Returns {train/gradient/<term>: norm, train/gradient_cosine/<term>: cosine with the
    reference's} of scalar terms. Their graphs are kept. A term without a path to the parameters has
    norm 0."""
    flat: dict[str, Tensor] = {}
    for name, term in terms.items():
        grads: list[Tensor | None] = [None] * len(parameters)
        if term.requires_grad:
            grads = list(
                torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            )
        pieces = [
            (torch.zeros_like(p) if g is None else g).flatten()
            for g, p in zip(grads, parameters, strict=True)
        ]
        # each process has a share of the gradient, times the number of processes
        flat[name] = summed(torch.cat(pieces).double()) / world_size()
    norms = {name: float(gradient.norm()) for name, gradient in flat.items()}
    values = {f"train/gradient/{name}": norm for name, norm in norms.items()}
    for name, gradient in flat.items():
        if name != reference and norms.get(reference, 0.0) > 0 and norms[name] > 0:
            cosine = float(gradient @ flat[reference]) / (norms[name] * norms[reference])
            values[f"train/gradient_cosine/{name}"] = (
                min(max(cosine, -1.0), 1.0) if cosine == cosine else cosine
            )
    return values


TAPS = ("z", "z_agg")
ROWS = 256  # rows of a batch that are measured; the rank is below n, so n is logged too


class TrainingFeatures(EveryNSteps):
    """Logs statistics of the last training batch's features, in training mode, at the first
    optimiser step and every `every` steps.

    - `train/<tap>/feature_std_l2`, `/effective_rank` and `/n` for z (the first observed view) and
      z_agg, from at most 256 rows. The rank is at most n - 1, so ranks of different n are not
      comparable.
    - `train/target/drift` if there is an EMA target: the distance of its parameters from the
      encoder's after the step, relative to the norm of the encoder's.

    Only reads the model. Taps with features that are not finite and skipped steps are not logged.
    """

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if not self.due(trainer, pl_module):
            return
        values: dict[str, float] = {}
        reps = pl_module.representations
        for tap in TAPS:
            features = getattr(reps, tap)
            features = (features[:, 0] if features.ndim == 3 else features)[:ROWS].cpu()
            if len(features) >= 2 and bool(torch.isfinite(features).all()):
                values[f"train/{tap}/feature_std_l2"] = float(feature_std_l2(features))
                values[f"train/{tap}/effective_rank"] = float(
                    exp_entropy(covariance_eigenvalues(features))
                )
                values[f"train/{tap}/n"] = float(len(features))
        if pl_module.target_encoder is not None:
            online, average = (
                list(m.parameters()) for m in (pl_module.network.encoder, pl_module.target_encoder)
            )
            values["train/target/drift"] = float(parameter_drift(online, average))
        if values:
            log_metrics(trainer, values)


class EpochLines(pl.Callback):
    """Prints one line per validation: epoch, loss, the available metrics of probes, skill,
    retrieval, codes and rank, the result of `state`, time used and time left."""

    def __init__(self, epochs: int, state: Callable[[], str | None] = lambda: None) -> None:
        self.epochs = epochs
        self.state = state
        self._start = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._start = time.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.state.fn != "fit":
            return
        done = trainer.current_epoch + 1
        metrics = trainer.callback_metrics
        used = time.monotonic() - self._start
        left = used / max(done - self._first_epoch, 1) * (self.epochs - done)
        parts = [f"epoch {done:>{len(str(self.epochs))}}/{self.epochs}"]
        for key, text in (
            ("val/loss/prediction", "loss {:.4f}"),
            ("val/probe/class_from_z_agg", "class {:.1%}"),
            ("val/probe/action_from_z", "action R² {:.3f}"),
            ("val/skill", "skill {:.2f}"),
            ("val/retrieval/top1", "top 1 {:.1%}"),
            ("val/codebook/usage", "codes {:.0%}"),
            ("val/z_agg/effective_rank", "rank {:.1f}"),
        ):
            if key in metrics:
                parts.append(text.format(float(metrics[key])))
        state = self.state()
        if state is not None:
            parts.append(state)
        parts.append(f"{used:.0f} s, {left:.0f} s left")
        print("  ".join(parts), file=sys.stderr, flush=True)
